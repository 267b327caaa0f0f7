package lease

import (
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Term is one lease's lifetime.
type Term struct{}

// ID is the lease's.
func (t *Term) ID() clientv3.LeaseID { return 0 }

// Done is closed when the term ends.
func (t *Term) Done() <-chan struct{} { return nil }

// Err says why the term ended; nil while it can be trusted.
func (t *Term) Err() error { return nil }

// TrustedUntil is when trust ends unless it is extended.
func (t *Term) TrustedUntil() time.Time { return time.Time{} }
