package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/tenure-go/tenure/lease"
)

// ErrOwnerInUse means that another live process is a member under the same owner id. The detail is an
// [OwnerInUseError].
var ErrOwnerInUse = errors.New("owner id in use")

// OwnerInUseError names the live member that has the owner id. It is an [ErrOwnerInUse].
type OwnerInUseError struct {
	Member Member
}

func (e *OwnerInUseError) Error() string {
	return fmt.Sprintf("%v: a live process that started at %s is %s; give each process an owner id of its own",
		ErrOwnerInUse, e.Member.StartedAt.Format(time.RFC3339), quote(e.Member.OwnerID))
}

// Is reports whether target is [ErrOwnerInUse].
func (e *OwnerInUseError) Is(target error) bool { return target == ErrOwnerInUse }

// presencePoll is how often a lease is asked whether it is being renewed.
const presencePoll = 250 * time.Millisecond

// Presence is a member's record in its group, for as long as it is joined. After a lapse of trust the store moves it to
// the new lease before anything else, so that a member that comes back was never away.
type Presence struct {
	store *Store
	group Group
	key   string

	// changing is held over a change, and guards what follows. A change may take as long as etcd cannot be reached, for
	// which others wait no longer than they may.
	changing *semaphore.Weighted
	member   Member
	revision int64 // of the record, as far as known
	left     bool
}

// Join puts a member's record on the keeper's lease. Where the owner id is another instance's, it waits until that one
// is gone, or refuses with [ErrOwnerInUse] once the other's lease was seen to be renewed: a dead one's is not.
//
// Errors: [ErrInvalidArgument] before anything is sent; [ErrOwnerInUse]; [ErrNoKeeper]; [ErrClosed]; ctx's error, with
// [ErrOutcomeUnknown] if the record may have been or may yet be put: joining again on the same store takes its place;
// [lease.ErrPermissionDenied].
func (s *Store) Join(ctx context.Context, group Group, member Member) (*Presence, error) {
	problems := problems{path: "group"}
	problems.group(group)
	problems.path = "member"
	member.validate(&problems)
	if len(problems.all) > 0 {
		return nil, errors.Join(problems.all...)
	}
	if s.keeper == nil {
		return nil, ErrNoKeeper
	}
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	p := &Presence{
		store: s, group: group, key: s.keys.key(group, kindMember, member.OwnerID), changing: semaphore.NewWeighted(1),
		member: member,
	}
	var first renewals
	for {
		found, err := p.onTerm(ctx, p.tryJoin)
		if err != nil {
			return nil, err
		}
		if found == nil {
			return p, nil
		}
		if err := s.awaitEnd(ctx, found, &first); err != nil {
			return nil, err
		}
	}
}

// tryJoin returns the record that stands in the way, if one does.
func (p *Presence) tryJoin(ctx context.Context, term *lease.Term) (*mvccpb.KeyValue, error) {
	p.store.enlist(p)
	found, err := p.put(ctx, term)
	if err != nil || found != nil {
		p.store.strike(p)
	}
	return found, err
}

// onTerm has a request made under a trusted term, and again under the next one if the lease has gone meanwhile. A
// take-over sees what the request has put, or is not over yet.
func (p *Presence) onTerm(
	ctx context.Context, request func(context.Context, *lease.Term) (*mvccpb.KeyValue, error),
) (*mvccpb.KeyValue, error) {
	var term *lease.Term
	once := func() (*mvccpb.KeyValue, error) {
		var release func()
		var err error
		if term, release, err = p.store.holdTerm(ctx); err != nil {
			return nil, err
		}
		defer release()
		if p.changing.Acquire(ctx, 1) != nil {
			return nil, context.Cause(ctx)
		}
		defer p.changing.Release(1)
		return request(ctx, term)
	}
	for {
		found, err := once()
		if term == nil || !errors.Is(err, lease.ErrLeaseGone) {
			return found, err
		}
		select {
		case <-term.Done(): // the keeper finds out with its next renewal
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// enlist has a presence moved when the lease is another.
func (s *Store) enlist(p *Presence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.presences = append(s.presences, p)
}

func (s *Store) strike(p *Presence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.presences = slices.DeleteFunc(s.presences, func(other *Presence) bool { return other == p })
}

// hasAnother reports whether the store has another presence at the same key.
func (s *Store) hasAnother(p *Presence) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.presences, func(other *Presence) bool { return other != p && other.key == p.key })
}

// put puts the record on a term's lease, in place of the one that the member put last or of none. It returns the record
// that stands there instead, if another instance's does. It is changing.
func (p *Presence) put(ctx context.Context, term *lease.Term) (*mvccpb.KeyValue, error) {
	expected := p.revision
	value := string(p.member.encode())
	for {
		answer, err := p.store.send(ctx, []clientv3.Cmp{unchanged(p.key, expected)},
			[]clientv3.Op{clientv3.OpPut(p.key, value, clientv3.WithLease(term.ID()))},
			[]clientv3.Op{clientv3.OpGet(p.key)})
		if err != nil {
			return nil, err
		}
		if answer.Succeeded {
			p.revision = answer.Header.Revision
			return nil, nil //nolint:nilnil // nothing stands in the way
		}
		found := rangeOne(answer.Responses[0])
		if found == nil {
			expected = 0
			continue
		}
		record, err := decodeMember(found.Value)
		onTerm := clientv3.LeaseID(found.Lease) == term.ID()
		switch {
		case err != nil || found.Lease == 0:
			expected = found.ModRevision // nobody's: unreadable, or left by a mirrored or restored etcd
		case record.Instance != p.member.Instance && onTerm && !p.store.hasAnother(p):
			expected = found.ModRevision // left by a Join or a Leave of this process that was given up
		case record.Instance != p.member.Instance:
			return found, nil
		case string(found.Value) == value && onTerm:
			p.revision = found.ModRevision
			return nil, nil //nolint:nilnil // nothing stands in the way
		default:
			expected = found.ModRevision // an earlier copy's
		}
	}
}

// Update puts the member's record anew.
//
// Errors: [ErrOwnerInUse] if another instance has taken its place, which it can after the record was deleted;
// [ErrClosed]; ctx's error, after which the record may have been or may yet be put; [lease.ErrPermissionDenied].
func (p *Presence) Update(ctx context.Context, change func(*Member)) error {
	ctx, leave, err := p.store.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	var changed sync.Once
	found, err := p.onTerm(ctx, func(ctx context.Context, term *lease.Term) (*mvccpb.KeyValue, error) {
		if p.left {
			return nil, nil //nolint:nilnil // nothing stands in the way
		}
		changed.Do(func() { change(&p.member) })
		return p.put(ctx, term)
	})
	return p.inTheWay(found, err)
}

func (p *Presence) inTheWay(found *mvccpb.KeyValue, err error) error {
	if err != nil || found == nil {
		return err
	}
	other, err := decodeMember(found.Value)
	if err != nil {
		return newRecordError(p.key, found.ModRevision, err)
	}
	return &OwnerInUseError{Member: other}
}

// Leave removes the member's record. Leaving again does nothing.
//
// Errors: [ErrClosed]; ctx's error; [lease.ErrPermissionDenied]. The record goes with the lease at the latest.
func (p *Presence) Leave(ctx context.Context) error {
	s := p.store
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if p.changing.Acquire(ctx, 1) != nil {
		return context.Cause(ctx)
	}
	defer p.changing.Release(1)
	if p.left {
		return nil
	}
	p.left = true
	s.strike(p)
	for expected := p.revision; ; {
		answer, err := s.send(ctx, []clientv3.Cmp{unchanged(p.key, expected)},
			[]clientv3.Op{clientv3.OpDelete(p.key)}, []clientv3.Op{clientv3.OpGet(p.key)})
		if err != nil || answer.Succeeded {
			return err
		}
		found := rangeOne(answer.Responses[0])
		if found == nil {
			return nil
		}
		record, err := decodeMember(found.Value)
		if err != nil || record.Instance != p.member.Instance {
			return nil // it is another's, or nobody's
		}
		expected = found.ModRevision // an update went unanswered
	}
}

// takeOver moves the record to a new term's lease.
func (p *Presence) takeOver(ctx context.Context, term *lease.Term, cause error) error {
	if p.changing.Acquire(ctx, 1) != nil {
		return context.Cause(ctx)
	}
	defer p.changing.Release(1)
	if p.left {
		return nil
	}
	if errors.Is(cause, lease.ErrClusterChanged) {
		p.revision = 0 // it means something else there
	}
	found, err := p.put(ctx, term)
	if err := p.inTheWay(found, err); errors.Is(err, ErrOwnerInUse) {
		p.store.log.Error("another process has become a member under the same owner id while this one's lease was lost",
			zap.Stringer("group", p.group), zap.String("owner", p.member.OwnerID), zap.Error(err))
		return nil // whose partitions are whose, claims decide
	}
	return err
}

// renewals is what was first seen of the lease of the one that stands in the way.
type renewals struct {
	lease    clientv3.LeaseID
	raftTerm uint64
	ttl      int64     // whole seconds, cut off
	at       time.Time // that was known by then
}

// clockTolerance is how much faster than etcd's this machine's clock may run.
const clockTolerance = 0.1

// renewed reports whether the lease has more time left than it would have without a renewal. One that has run out is
// there until etcd gets around to it; 0 can mean that it was due up to a second ago.
func (r *renewals) renewed(ttl int64, asked time.Time) bool {
	passed := asked.Sub(r.at).Seconds() * (1 - clockTolerance)
	atLeast := ttl
	if ttl == 0 {
		atLeast = -1
	}
	return ttl >= 0 && float64(atLeast) >= float64(r.ttl+1)-passed
}

// awaitEnd waits a moment for the record of another instance to go, and returns an error if that instance lives.
func (s *Store) awaitEnd(ctx context.Context, found *mvccpb.KeyValue, first *renewals) error {
	record, err := decodeMember(found.Value)
	if err != nil {
		return newRecordError(string(found.Key), found.ModRevision, err)
	}
	if first.lease == 0 {
		s.log.Info("the owner id is another process's; waiting to see whether it lives",
			zap.String("owner", record.OwnerID), zap.Time("started", record.StartedAt))
	}
	id := clientv3.LeaseID(found.Lease)
	asked := time.Now()
	answer, err := persist(ctx, s, func(ctx context.Context) (*clientv3.LeaseTimeToLiveResponse, error) {
		return s.client.TimeToLive(ctx, id)
	})
	if err != nil {
		return err
	}
	switch raftTerm := answer.GetRaftTerm(); {
	case first.lease != id || first.raftTerm != raftTerm: // a new leader gives every lease its full time again
		*first = renewals{lease: id, raftTerm: raftTerm, ttl: answer.TTL, at: time.Now()}
	case first.renewed(answer.TTL, asked):
		return &OwnerInUseError{Member: record}
	}
	timer := time.NewTimer(presencePoll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
