package etcdstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/tenure-go/tenure/lease"
)

// Options configures [New].
type Options struct {
	// Prefix is put before every key. Defaults to "/tenure/v1".
	Prefix string

	// Logger receives what happened to which partition and why. Defaults to no logging.
	Logger *zap.Logger
}

// A claim holds one part of Store.takeover, and a take-over all of them.
const (
	claimsPart   = 1
	takeoverPart = math.MaxInt64
)

// Store keeps ownerships and checkpoints in etcd. It is safe for concurrent use.
type Store struct {
	client *clientv3.Client
	keeper *lease.Keeper
	keys   keyspace
	log    *zap.Logger
	limits limits
	meters meters

	latestAnswer atomic.Int64 // how long it took, in nanoseconds

	// nonce begins every claim_id and write_id of this store, which is how it knows its own records again.
	nonce string
	ids   atomic.Uint64

	// takeover is held in part by claims in flight and as a whole by a take-over, which must see what they won.
	takeover *semaphore.Weighted

	// unsettled is claims of take-overs that were cut off, which a copy may still win. Guarded by takeover.
	unsettled []*claim

	mu          sync.Mutex
	detach      func()                   // frees the keeper
	troubleTold time.Time                // when it was last said that etcd does not take requests
	tenures     map[string]*tenure       // by ownership key: what this store holds or once held
	owners      map[string]seenOwner     // by ownership key: who was last listed there
	strays      map[strayKey]*strayWatch // groups in which a copy of an unanswered claim may still land
	presences   []*Presence
	lastClaim   time.Time // times of claims rise, whatever the wall clock does
	closed      bool
	writer      *writer
	lives       context.Context // ends when the store closes
	end         context.CancelCauseFunc
	running     sync.WaitGroup
}

var _ CheckpointStore = (*Store)(nil)

// New returns a store that keeps its records with client and claims partitions on the keeper's lease. A nil keeper
// makes a store that cannot claim: its claims return [ErrNoKeeper]. Each keeper carries one store: a second one is
// refused with [lease.ErrInUse]. Bad options are reported together, as [ErrInvalidArgument].
func New(client *clientv3.Client, keeper *lease.Keeper, options *Options) (*Store, error) {
	if options == nil {
		options = &Options{}
	}
	keys, err := newKeyspace(options.Prefix)
	if client == nil {
		err = errors.Join(err, &ArgumentError{Field: "client", Value: "nil", Want: "an etcd client"})
	}
	if err != nil {
		return nil, err
	}
	log := options.Logger
	if log == nil {
		log = zap.NewNop()
	}
	lives, end := context.WithCancelCause(context.Background())
	s := &Store{
		client:  client,
		keeper:  keeper,
		keys:    keys,
		log:     log,
		meters:  newMeters(),
		detach:  func() {},
		nonce:   rand.Text(),
		tenures: make(map[string]*tenure),
		owners:  make(map[string]seenOwner),
		strays:  make(map[strayKey]*strayWatch),

		takeover: semaphore.NewWeighted(takeoverPart),

		lives: lives,
		end:   end,
	}
	s.limits.init()
	s.writer = newWriter(s)
	if keeper != nil {
		detach, err := keeper.Attach((*leaseHolder)(s))
		if err != nil {
			end(ErrClosed)
			return nil, fmt.Errorf("etcdstore: %w", err)
		}
		s.mu.Lock() // the keeper may be closing already, and the store with it
		s.detach = detach
		s.mu.Unlock()
	}
	return s, nil
}

// Close waits until ctx ends for the checkpoints that are under way, stops the store's goroutines and frees its keeper
// for another store. Ownerships stay as they are, until the keeper closes or the lease runs out. Checkpoints that were
// not written when ctx ended fail with [ErrClosed], or with [ErrOutcomeUnknown] if they had been sent; Close then
// returns ctx's error. Closing again does nothing.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.writer.close(ctx)
	s.end(ErrClosed)
	s.running.Wait()
	s.mu.Lock()
	detach := s.detach
	s.mu.Unlock()
	detach()
	return err
}

// join counts a call that uses the store, so that Close waits until it calls running.Done.
func (s *Store) join(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.running.Add(1)
	return nil
}

// enter is join for a call that sends requests of its own: it gives it a context that also ends with the store.
func (s *Store) enter(ctx context.Context) (context.Context, func(), error) {
	if err := s.join(ctx); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.lives, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		s.running.Done()
	}, nil
}

// newID returns an identifier that no other claim or write has, and that isOwnID knows again.
func (s *Store) newID() string {
	return s.nonce + "-" + strconv.FormatUint(s.ids.Add(1), 36)
}

// isOwnID reports whether this store made the claim or write with that identifier.
func (s *Store) isOwnID(id string) bool {
	return len(id) > len(s.nonce) && id[:len(s.nonce)] == s.nonce && id[len(s.nonce)] == '-'
}

// claimTime returns the wall clock's time, or a little after the last claim's if the clock has not moved on: an
// ownership's time rises with each renewal.
func (s *Store) claimTime() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC()
	if !now.After(s.lastClaim) {
		now = s.lastClaim.Add(time.Nanosecond)
	}
	s.lastClaim = now
	return now
}

// leaseHolder is the store as its keeper sees it.
type leaseHolder Store

func (h *leaseHolder) ReadKey() string { return h.keys.prefix + "/" }

func (h *leaseHolder) Close(ctx context.Context) error { return (*Store)(h).Close(ctx) }

func (h *leaseHolder) TakeOver(ctx context.Context, term *lease.Term, cause error) error {
	return (*Store)(h).takeOver(ctx, term, cause)
}
