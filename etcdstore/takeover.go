package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/lease"
)

// takeOver moves what the store still holds to a new term's lease, after an earlier term has ended for cause. The
// keeper calls it before it hands the new term out and before it revokes the old lease, under which the records may
// still stand: an etcd that was down gives leases their full time again.
//
// A partition is claimed if its record is still the one that the store last got, or if there is none. Whatever is found
// otherwise belongs to somebody else by now.
func (s *Store) takeOver(ctx context.Context, term *lease.Term, cause error) error {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if s.takeover.Acquire(ctx, takeoverPart) != nil { // what claims in flight have won under the old lease counts too
		return context.Cause(ctx)
	}
	defer s.takeover.Release(takeoverPart)

	// First, so that nobody sees the partitions of a member that is not there.
	s.mu.Lock()
	presences := slices.Clone(s.presences)
	s.mu.Unlock()
	for _, p := range presences {
		if err := p.takeOver(ctx, term, cause); err != nil {
			return fmt.Errorf("taking over the presence of %s: %w", quote(p.member.OwnerID), err)
		}
	}
	if errors.Is(cause, lease.ErrClusterChanged) {
		s.forget("etcd is another cluster or was restored from a snapshot")
		return nil
	}
	claims := s.claimsToKeep()
	total, kept := len(claims), 0
	for len(claims) > 0 {
		won, err := s.claim(ctx, term, claims)
		kept += len(won)
		s.unsettled = append(s.unsettled, claims...)
		if err == nil && slices.ContainsFunc(claims, func(c *claim) bool { return c.leaseGone }) {
			err = lease.ErrLeaseGone // the term may not have noticed yet
		}
		if err != nil {
			return fmt.Errorf("taking over %d partitions: %w", len(claims), err)
		}
		if term.Err() != nil {
			return term.Err()
		}
		claims = s.claimsLeftBehind(claims)
	}
	// Not before: the tenures that they are about are taken over again after an error. Those of other terms have no lease
	// any more.
	s.watchStrays(term, s.unsettled)
	s.unsettled = nil
	if total > 0 {
		s.log.Info("took over partitions after a lapse of trust", zap.Int("held", total), zap.Int("kept", kept),
			zap.NamedError("lapse", cause))
	}
	return nil
}

// claimsToKeep returns a claim for each partition that the store holds.
func (s *Store) claimsToKeep() []*claim {
	held := s.held()
	claims := make([]*claim, len(held))
	for i, o := range held {
		etag, _ := parseETag(o.ETag)
		claims[i] = s.newTakeOver(o, etag)
	}
	return claims
}

func (s *Store) newTakeOver(o Ownership, etag int64) *claim {
	c := s.newClaim(o, etag, &ClaimOptions{GrantIfGone: true})
	c.takesOver = true
	return c
}

// claimsLeftBehind returns new claims for those that were lost to this store itself: to an earlier take-over that was
// cut off before its answer came.
func (s *Store) claimsLeftBehind(claims []*claim) []*claim {
	var again []*claim
	for _, c := range claims {
		if !c.foundOwn {
			continue
		}
		s.mu.Lock()
		t := s.tenures[c.key]
		held := t != nil && t.held && t.etag == c.etag
		if held {
			t.etag = c.found.ModRevision
		}
		s.mu.Unlock()
		if held {
			again = append(again, s.newTakeOver(c.won, c.found.ModRevision))
		}
	}
	return again
}

// Held returns what the store holds of a group, as its latest claims of it returned it: also what it has claimed again
// by itself after a lapse of trust.
func (s *Store) Held(group Group) []Ownership {
	return slices.DeleteFunc(s.held(), func(o Ownership) bool { return o.Group != group })
}

// held returns what the store holds.
func (s *Store) held() []Ownership {
	s.mu.Lock()
	defer s.mu.Unlock()
	var held []Ownership
	for _, t := range s.tenures {
		if t.held {
			held = append(held, t.ownership())
		}
	}
	return held
}

// forget ends all tenures and drops what is known of them: in another cluster their revisions mean nothing, or
// something else.
func (s *Store) forget(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tenures {
		s.endTenure(t, why)
	}
	clear(s.tenures)
	clear(s.owners)
}

func (t *tenure) ownership() Ownership {
	return Ownership{
		Group: t.group, PartitionID: t.partition, OwnerID: t.owner, ETag: formatETag(t.etag),
		PreviousOwner: t.previousOwner, Reason: t.reason,
	}
}
