package supervise

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/etcdstore"
)

// Partition is what a supervisor needs of a partition that it owns: of *balancer.Partition, whose documentation says
// what the methods do.
type Partition interface {
	ID() string
	Ownership() etcdstore.Ownership
	Start() (etcdstore.Checkpoint, bool)
	Draining() <-chan struct{}
	Checkpoint(ctx context.Context, sequenceNumber *int64, offset *string, ops ...clientv3.Op) error
	Finish(sequenceNumber *int64, offset *string, ops ...clientv3.Op)
	Remaining() time.Duration
}
