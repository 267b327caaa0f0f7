package lease

import (
	"errors"

	"github.com/tenure-go/tenure/internal/etcderr"
)

// Why a term ended, or why there is none.
var (
	// ErrNoLeader says that members of the cluster answered, but that it had no leader with a quorum.
	ErrNoLeader = etcderr.ErrNoLeader

	// ErrUnreachable says that etcd was not heard from in time: it could not be reached, its answers were lost or too
	// slow, or this process or machine was paused.
	ErrUnreachable = etcderr.ErrUnreachable

	// ErrNoSpace says that the cluster has raised its NOSPACE alarm: it grants no lease, though it renews those it has.
	ErrNoSpace = etcderr.ErrNoSpace

	// ErrPermissionDenied says that etcd refused the client's user. To renew a lease, a user needs permission to write
	// every key attached to it and to read the key that confirms renewals.
	ErrPermissionDenied = etcderr.ErrPermissionDenied

	// ErrLeaseGone says that the lease ran out or was revoked, and its keys with it.
	ErrLeaseGone = etcderr.ErrLeaseGone

	// ErrClusterChanged says that the endpoints lead to another cluster, or to one that was restored from an older
	// state: what was known of its keys and revisions no longer holds.
	ErrClusterChanged = errors.New("the etcd cluster is another one, or was restored from an older state")

	// ErrClosed says that the keeper was closed.
	ErrClosed = errors.New("the lease keeper is closed")

	// ErrInUse says that a keeper already has a holder.
	ErrInUse = errors.New("the lease keeper is already in use by another store")
)
