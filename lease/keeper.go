package lease

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Keeper keeps one lease.
type Keeper struct{}

// NewKeeper grants the first lease and starts to renew it.
func NewKeeper(ctx context.Context, client *clientv3.Client, options *Options) (*Keeper, error) {
	if _, err := options.withDefaults(client); err != nil {
		return nil, err
	}
	return nil, errors.ErrUnsupported
}

// Attach makes h the keeper's holder until detach is called.
func (k *Keeper) Attach(h Holder) (detach func(), err error) { return func() {}, nil }

// Term waits for a trusted term.
func (k *Keeper) Term(ctx context.Context) (*Term, error) { return nil, errors.ErrUnsupported }

// Close closes the holder, ends the term and revokes the lease.
func (k *Keeper) Close(ctx context.Context) error { return nil }
