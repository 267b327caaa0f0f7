package balancer

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
)

// Options are a member's settings.
type Options struct {
	// OwnerID names the member in its group. No two live processes may have the same one. One that stays the same over
	// restarts lets Grace work. Defaults to a random UUID.
	OwnerID string

	// Weight is the member's share of the partitions, relative to the other members' weights. Defaults to 1.
	Weight int

	// Capacity is how many partitions the member takes at the most. Defaults to 0, which is no limit.
	Capacity int

	// Settle is how long the members must have stayed the same before partitions move for balance, or are claimed for the
	// first time, so that a rolling start moves things once. Defaults to 250 ms.
	Settle time.Duration

	// DrainTimeout is how long a handler may take to finish what it has begun when its partition is to move, or when the
	// member leaves. Then its context ends. Defaults to 30 s.
	DrainTimeout time.Duration

	// StallLimit is how long a handler may run without a checkpoint being written before that counts as failure.
	// Defaults to 0, which is no limit.
	StallLimit time.Duration

	// Grace is how long the member's partitions are kept for it when it has gone, on top of the lease's TTL, so that a
	// restart with the same OwnerID moves nothing. Whole seconds. Defaults to 0: they go to others at once.
	Grace time.Duration

	// Lag tells how many events of a partition come after a checkpoint, all that there are if it is nil. It is asked every
	// 30 s for each partition that is handled, eight at a time, for [Member.Metrics]. It has to return when ctx ends.
	// Defaults to none: the lag is not known.
	Lag func(ctx context.Context, partition string, after *etcdstore.Checkpoint) (int64, error)

	// SourceInterval is how often the source is asked again. Defaults to 30 s.
	SourceInterval time.Duration

	// Events are told what happens to the member and its partitions. Defaults to none.
	Events Events

	// Logger receives what happened to which partition and why. Defaults to no logging.
	Logger *zap.Logger
}
