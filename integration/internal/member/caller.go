package member

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/lease"
)

// What a caller does.
const (
	Claim           = "claim"
	Update          = "update"
	Release         = "release"
	ListOwnership   = "list ownership"
	ListCheckpoints = "list checkpoints"
)

// Call is one call of a store's method.
type Call struct {
	ID        int64  `json:"id"` // of the pair of reports, in one process
	Do        string `json:"do"`
	Partition string `json:"partition,omitempty"` // but for listings

	// Owner is who claims, a name that no other claim has. ETag is that of the claim, the fence or the release. Sequence
	// is the checkpoint's, a number that no other has.
	Owner    string `json:"owner,omitempty"`
	ETag     string `json:"etag,omitempty"`
	Sequence int64  `json:"sequence,omitempty"`

	// Won is the etag of the claim that has won, "" if it was lost.
	Won string `json:"won,omitempty"`

	// Start is the number of the checkpoint that the winner's claim has found, -1 if there was none.
	Start int64 `json:"start,omitempty"`

	// Lapsed says that the claim may have been lost because the claimer's lease was gone, whoever had the partition.
	Lapsed bool `json:"lapsed,omitempty"`

	// Listed is what a listing has returned, by partition.
	Listed map[string]Listed `json:"listed,omitempty"`
}

// Listed is what is listed of a partition.
type Listed struct {
	ETag     string `json:"etag,omitempty"`
	Owner    string `json:"owner,omitempty"`
	Sequence int64  `json:"sequence,omitempty"`
}

// leastTime is the least that a call has. The most is 64 times as long.
const leastTime = 40 * time.Millisecond

// lastTime is how long a caller that ends tries to release what it holds.
const lastTime = 20 * time.Second

// caller calls a store's methods at random, and so that outcomes are unknown.
type caller struct {
	*actor

	store *etcdstore.Store
	calls atomic.Int64
	name  string

	mu    sync.Mutex
	known map[string]etcdstore.Ownership // by partition, as last seen
	held  map[string]etcdstore.Ownership
}

// call makes calls until ctx ends or there is to be rest, and then releases what it holds.
func (a *actor) call(ctx context.Context, store *etcdstore.Store) {
	c := &caller{
		actor: a, store: store, name: a.config.OwnerID,
		known: make(map[string]etcdstore.Ownership), held: make(map[string]etcdstore.Ownership),
	}
	var calling sync.WaitGroup
	for range a.config.Callers {
		calling.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-a.rests:
					return
				case <-time.After(time.Duration(c.chance(int(c.config.CallPause)))):
					c.something(ctx)
				}
			}
		})
	}
	calling.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
	defer cancel()
	for _, o := range store.Held(a.group) { // also what it has claimed again by itself
		c.release(last, o.PartitionID, o)
	}
	a.report(Report{Kind: Finished})
	<-ctx.Done()
}

func (c *caller) something(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leastTime<<c.chance(7))
	defer cancel()
	partition := PartitionIDs(c.config.Partitions)[c.chance(c.config.Partitions)]
	c.mu.Lock()
	held, holds := c.held[partition]
	known := c.known[partition]
	c.mu.Unlock()
	switch n := c.chance(100); {
	case n < 10:
		c.listOwnership(ctx)
	case n < 20:
		c.listCheckpoints(ctx)
	case holds && n < 25:
		c.release(ctx, partition, held)
	case holds && n < 35:
		var together sync.WaitGroup
		for range 4 { // which share a transaction, or fold
			together.Go(func() { c.update(ctx, partition, held) })
		}
		together.Wait()
	case holds && n < 95:
		c.update(ctx, partition, held)
	default:
		c.claim(ctx, partition, known.ETag)
	}
}

// do reports a call, makes it, and reports what has become of it.
func (c *caller) do(call Call, do func(*Call) error) error {
	call.ID = c.calls.Add(1)
	began := c.Now()
	c.report(Report{Kind: Calling, At: began, Call: &call})
	err := do(&call)
	c.report(Report{Kind: Called, Began: began, Call: &call, Outcome: outcome(err)})
	return err
}

func (c *caller) claim(ctx context.Context, partition, etag string) {
	call := Call{
		Do: Claim, Partition: partition, ETag: etag, Start: -1,
		Owner: fmt.Sprintf("%s.%d.%d", c.name, c.calls.Load(), c.chance(1<<30)),
	}
	term, err := c.store.Keeper().Term(ctx)
	if err != nil {
		return
	}
	_ = c.do(call, func(call *Call) error {
		won, err := c.store.ClaimOwnership(ctx, []etcdstore.Ownership{
			{Group: c.group, PartitionID: partition, OwnerID: call.Owner, ETag: etag},
		}, nil)
		if len(won) == 0 {
			c.forget(partition, etag)
			call.Lapsed = err == nil && c.lapsed(ctx, term)
			return err
		}
		call.Won = won[0].ETag
		if start, found, err := c.store.Start(won[0]); err != nil {
			call.Start = -2 // it is held no longer, or was claimed again in between
		} else if found {
			call.Start = *start.SequenceNumber
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.known[partition], c.held[partition] = won[0], won[0]
		return err
	})
}

// lapsed reports whether a lease is gone, as far as is known.
func (c *caller) lapsed(ctx context.Context, term *lease.Term) bool {
	left, err := c.Client.TimeToLive(ctx, term.ID())
	return err != nil || left.TTL <= 0
}

// forget takes what was known of a partition for old.
func (c *caller) forget(partition, etag string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[partition].ETag == etag {
		delete(c.known, partition)
	}
	if c.held[partition].ETag == etag {
		delete(c.held, partition)
	}
}

func (c *caller) update(ctx context.Context, partition string, held etcdstore.Ownership) {
	sequence := c.calls.Add(1)<<32 + int64(c.chance(1<<32)) // no other caller has that
	call := Call{Do: Update, Partition: partition, Owner: held.OwnerID, ETag: held.ETag, Sequence: sequence}
	err := c.do(call, func(*Call) error {
		return c.store.UpdateCheckpoint(ctx, etcdstore.Checkpoint{
			Group: c.group, PartitionID: partition, SequenceNumber: &sequence,
		}, &etcdstore.UpdateOptions{Fence: &held})
	})
	if errors.Is(err, etcdstore.ErrOwnershipLost) {
		c.forget(partition, held.ETag)
	}
}

func (c *caller) release(ctx context.Context, partition string, held etcdstore.Ownership) {
	call := Call{Do: Release, Partition: partition, Owner: held.OwnerID, ETag: held.ETag}
	_ = c.do(call, func(*Call) error { return c.store.Release(ctx, held) })
	c.forget(partition, held.ETag)
}

func (c *caller) listOwnership(ctx context.Context) {
	_ = c.do(Call{Do: ListOwnership}, func(call *Call) error {
		listed, err := c.store.ListOwnership(ctx, c.group)
		if err != nil {
			return err
		}
		call.Listed = make(map[string]Listed)
		c.mu.Lock()
		defer c.mu.Unlock()
		clear(c.known)
		for _, o := range listed {
			call.Listed[o.PartitionID] = Listed{ETag: o.ETag, Owner: o.OwnerID}
			c.known[o.PartitionID] = o
		}
		return nil
	})
}

func (c *caller) listCheckpoints(ctx context.Context) {
	_ = c.do(Call{Do: ListCheckpoints}, func(call *Call) error {
		listed, err := c.store.ListCheckpoints(ctx, c.group)
		if err != nil {
			return err
		}
		call.Listed = make(map[string]Listed)
		for _, checkpoint := range listed {
			call.Listed[checkpoint.PartitionID] = Listed{Sequence: *checkpoint.SequenceNumber}
		}
		return nil
	})
}
