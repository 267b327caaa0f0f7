package storetest

import (
	"context"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/etcdstore"
)

// Open opens one more store on the backend that all stores of a [Run] share, as another process would. The store claims
// on a lease of its own and is closed when t ends.
type Open func(t *testing.T) etcdstore.CheckpointStore

// Capabilities tells what a store does that not every store does. Where two rules exclude each other, a capability
// that is not declared has the other rule tested.
type Capabilities struct {
	// AlwaysGrantsIfGone says that every claim is made with [etcdstore.ClaimOptions.GrantIfGone].
	AlwaysGrantsIfGone bool

	// FoldsCase says that the names of a group mean the same in any case. Otherwise they are kept byte for byte.
	FoldsCase bool

	// TimeOfListing says that a listing dates ownerships with its own time. Otherwise it shows the times of the claims.
	TimeOfListing bool

	// Fences says that the store is a [Fencer], and that a checkpoint without a fence is written whoever owns the
	// partition.
	Fences bool

	// Holder says that the store behaves as an [etcdstore.Holder]: checkpoints without a fence are guarded by what the
	// store itself has claimed, and corrupt records are no errors.
	Holder bool

	// Etcd is a client of the etcd in which the store keeps its records, in wire format version 1. Nil if it keeps them
	// elsewhere: then the tests cannot look at the records, corrupt them or take them away.
	Etcd *clientv3.Client

	// Prefix is what the records' keys in Etcd begin with. Defaults to "/tenure/v1".
	Prefix string

	// Kill ends a store as a crash of its process would, and returns when its lease and all that was on it have gone. Nil
	// if that cannot be done.
	Kill func(t *testing.T, store etcdstore.CheckpointStore)

	// Lapse takes a store's lease away while its process lives on, and returns when the store has a new one. Nil if that
	// cannot be done.
	Lapse func(t *testing.T, store etcdstore.CheckpointStore)
}

// Fencer is what a store is that declares [Capabilities.Fences].
type Fencer interface {
	etcdstore.CheckpointStore

	Fence(ownership etcdstore.Ownership) clientv3.Cmp
	Start(ownership etcdstore.Ownership) (etcdstore.Checkpoint, bool, error)
	Release(ctx context.Context, ownerships ...etcdstore.Ownership) error
}

// need is a capability without which a test is skipped. It returns the capability's name if that is missing.
type need func(Capabilities) string

func missing(is bool, name string) string {
	if is {
		return ""
	}
	return name
}

func etcd(c Capabilities) string    { return missing(c.Etcd != nil, "Etcd") }
func fences(c Capabilities) string  { return missing(c.Fences, "Fences") }
func holder(c Capabilities) string  { return missing(c.Holder, "Holder") }
func reports(c Capabilities) string { return missing(!c.Holder, "errors for corrupt records") }
func unguarded(c Capabilities) string {
	return missing(!c.Holder, "checkpoints whoever owns the partition")
}
func kill(c Capabilities) string      { return missing(c.Kill != nil, "Kill") }
func lapse(c Capabilities) string     { return missing(c.Lapse != nil, "Lapse") }
func folds(c Capabilities) string     { return missing(c.FoldsCase, "FoldsCase") }
func keepsCase(c Capabilities) string { return missing(!c.FoldsCase, "names kept byte for byte") }
func strict(c Capabilities) string {
	return missing(!c.AlwaysGrantsIfGone, "claims that are lost if their record is gone")
}

// test is one behaviour of a store.
type test struct {
	name  string
	run   func(*scope)
	needs []need

	// waits says that the test waits for a lease, with stores of its own, so that others may run meanwhile.
	waits bool
}

// Run examines the stores that open returns.
func Run(t *testing.T, open Open, capabilities Capabilities) {
	t.Helper()
	if capabilities.Prefix == "" {
		capabilities.Prefix = "/tenure/v1"
	}
	a, b := open(t), open(t)
	suites := []struct {
		name  string
		tests []test
	}{
		{"claims", claims},
		{"listings", listings},
		{"names", names},
		{"checkpoints", checkpoints},
		{"fences", fencing},
		{"holders", holders},
		{"records", records},
		{"leases", leases},
	}
	for _, suite := range suites {
		t.Run(suite.name, func(t *testing.T) {
			for _, test := range suite.tests {
				t.Run(test.name, func(t *testing.T) {
					for _, need := range test.needs {
						if missing := need(capabilities); missing != "" {
							t.Skip("the store does not declare: " + missing)
						}
					}
					if test.waits {
						t.Parallel()
					}
					test.run(&scope{T: t, Capabilities: capabilities, open: open, a: a, b: b, group: newGroup()})
				})
			}
		})
	}
}
