package balancer

import "errors"

// Why a handler's context ended, as [context.Cause] tells, beside [etcdstore.ErrOwnershipLost] and
// [etcdstore.ErrCheckpointConflict].
var (
	// ErrTrustEnded means that the lease can no longer be trusted, or not for longer than the stop grace.
	ErrTrustEnded = errors.New("the lease can no longer be trusted")

	// ErrDrainTimeout means that the handler did not finish in time when it was asked to.
	ErrDrainTimeout = errors.New("not drained in time")

	// ErrStalled means that no checkpoint was written for longer than the stall limit.
	ErrStalled = errors.New("no checkpoint within the stall limit")
)

// errUnknownPartition counts as a failure of the handler: it cannot be started for what the source does not know.
var errUnknownPartition = errors.New("the source does not know the partition")
