package balancer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
)

// recordVersion is that of the records that members write and of the plan that they compute.
const recordVersion = 1

// Member is one process at work in a group.
type Member struct {
	store   *etcdstore.Store
	group   etcdstore.Group
	source  Source
	handler Handler
	options Options
	log     *zap.Logger

	inbox chan func(*worker) // what happened, for the worker
	ended chan struct{}      // closed when the worker takes nothing more
	ran   atomic.Bool
	mixed atomic.Bool // the group has an owner that is no member

	working  atomic.Bool // the worker takes in what happens
	measured atomic.Bool // somebody collects metrics
	meters   meters

	pace pace

	running sync.WaitGroup
}

// New returns a member that is to work in a group. Nothing is sent before [Member.Run]. The store must be the member's
// alone, since its lease is what tells members apart. All that is wrong with the arguments is reported together, as
// [etcdstore.ErrInvalidArgument].
func New(
	store *etcdstore.Store, group etcdstore.Group, source Source, handler Handler, options *Options,
) (*Member, error) {
	filled, err := options.withDefaults()
	problems := []error{err}
	missing := func(field, want string) {
		problems = append(problems, &etcdstore.ArgumentError{Field: field, Value: "nil", Want: want})
	}
	switch {
	case store == nil:
		missing("store", "a store with a lease keeper")
	case store.Keeper() == nil:
		problems = append(problems, fmt.Errorf("balancer: %w", etcdstore.ErrNoKeeper))
	}
	if _, err := etcdstore.ParseGroup(group.String()); err != nil {
		problems = append(problems, err)
	}
	if source == nil {
		missing("source", "a function that names the partitions")
	}
	if handler == nil {
		missing("handler", "a function that handles a partition")
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &Member{
		store: store, group: group, source: source, handler: handler, options: filled,
		log:   filled.Logger.With(zap.Stringer("group", group), zap.String("owner", filled.OwnerID)),
		inbox: make(chan func(*worker), inboxSize), ended: make(chan struct{}), pace: usualPace(),
		meters: newMeters(),
	}, nil
}

// OwnerID returns the member's owner id.
func (m *Member) OwnerID() string { return m.options.OwnerID }

// Run joins the group and works in it until ctx ends; then it drains every partition, leaves, closes the store's
// keeper, which revokes the lease and so frees at once whatever is left, and returns nil. It can be called once.
//
// It ends by itself with an error if it cannot go on: [etcdstore.ErrOwnerInUse]; [lease.ErrPermissionDenied];
// [etcdstore.ErrTooManyPartitions]; [lease.ErrClosed] or [etcdstore.ErrClosed] if the keeper or the store was closed;
// the source's own, if its first call fails. A handler that has not returned although its context ended is an error as
// well: Run does not wait for it.
func (m *Member) Run(ctx context.Context) error {
	if m.ran.Swap(true) {
		return errors.New("balancer: a member runs once")
	}
	w := newWorker(m)
	err := w.join(ctx)
	if err == nil {
		err = w.work(ctx)
	} else if ctx.Err() != nil {
		err = nil // it was told to stop before it began
	}
	if err != nil {
		err = fmt.Errorf("balancer: %w", err)
	}
	return errors.Join(err, w.leave(ctx))
}

// post tells the worker of something, unless it has ended.
func (m *Member) post(happened func(*worker)) {
	select {
	case m.inbox <- happened:
	case <-m.ended:
	}
}

// withDefaults returns the options with every default filled in, or all that is wrong with them.
func (o *Options) withDefaults() (Options, error) {
	var filled Options
	if o != nil {
		filled = *o
	}
	var problems []error
	want := func(ok bool, field string, value any, what string) {
		if !ok {
			problems = append(problems, &etcdstore.ArgumentError{
				Field: "Options." + field, Value: fmt.Sprint(value), Want: what,
			})
		}
	}
	const notNegative = "0 or more"
	want(filled.Weight >= 0, "Weight", filled.Weight, notNegative)
	want(filled.Capacity >= 0, "Capacity", filled.Capacity, notNegative)
	want(filled.Settle >= 0, "Settle", filled.Settle, notNegative)
	want(filled.DrainTimeout >= 0, "DrainTimeout", filled.DrainTimeout, notNegative)
	want(filled.StallLimit >= 0, "StallLimit", filled.StallLimit, notNegative)
	want(filled.SourceInterval >= 0, "SourceInterval", filled.SourceInterval, notNegative)
	want(filled.Grace >= 0 && filled.Grace%time.Second == 0, "Grace", filled.Grace, "whole seconds, 0 or more")
	if filled.OwnerID == "" {
		filled.OwnerID = uuid.NewString()
	}
	if filled.Weight == 0 {
		filled.Weight = 1
	}
	if filled.Settle == 0 {
		filled.Settle = 250 * time.Millisecond
	}
	if filled.DrainTimeout == 0 {
		filled.DrainTimeout = 30 * time.Second
	}
	if filled.SourceInterval == 0 {
		filled.SourceInterval = 30 * time.Second
	}
	if filled.Logger == nil {
		filled.Logger = zap.NewNop()
	}
	return filled, errors.Join(problems...)
}

// record is the member's presence.
func (m *Member) record() etcdstore.Member {
	return etcdstore.Member{
		OwnerID: m.options.OwnerID, Instance: rand.Text(), Weight: m.options.Weight, Capacity: m.options.Capacity,
		Version: recordVersion, StartedAt: time.Now().UTC(),
	}
}
