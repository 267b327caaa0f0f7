package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/lease"
)

// ClaimOwnership claims each of the given partitions for its OwnerID, on the keeper's lease, and returns the claims
// that were won, in input order, with their new etags and times. Each claim stands alone and many travel in one
// request.
//
// A claim wins if its ETag is the record's, or if it has no ETag and there is no record. A claim that loses, one with a
// malformed etag among them, is left out and changes nothing. Claiming again what one owns renews it: its etag and time
// rotate, and fences must be taken anew. The owner id "" relinquishes: the record stays, owned by nobody, with a usable
// etag. Whoever wins a partition also reads its checkpoint in the same transaction, see [Store.Start].
//
// It waits for a trusted term of the keeper, and retries what may pass until ctx ends. Errors: [ErrInvalidArgument]
// before anything is sent; [ErrNoKeeper]; [ErrClosed]; ctx's error, with [ErrOutcomeUnknown] if a claim may have been
// or may yet be won (it is released again should it land); [lease.ErrPermissionDenied]. Beside an error the claims that
// were won are returned.
func (s *Store) ClaimOwnership(
	ctx context.Context, ownerships []Ownership, options *ClaimOptions,
) ([]Ownership, error) {
	if options == nil {
		options = &ClaimOptions{}
	}
	if err := s.keys.validateOwnerships(ownerships, options.Reason); err != nil {
		return nil, err
	}
	if s.keeper == nil {
		return nil, ErrNoKeeper
	}
	ctx, leave, err := s.enter(ctx)
	if err != nil || len(ownerships) == 0 {
		if err == nil {
			leave()
		}
		return nil, err
	}
	defer leave()

	term, release, err := s.holdTerm(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	chunks := slices.Collect(slices.Chunk(ownerships, claimsInChunk))
	won, failures := make([][]Ownership, len(chunks)), make([]error, len(chunks))
	inTurns(len(chunks), func(i int) {
		won[i], failures[i] = s.claimChunk(ctx, term, chunks[i], options)
	})
	return slices.Concat(won...), joinDistinct(failures)
}

// claimsInChunk is how many claims one transaction takes with etcd's default limits. While etcd decides on one chunk
// the next is prepared.
const claimsInChunk = defaultMaxOps / 2

func (s *Store) claimChunk(
	ctx context.Context, term *lease.Term, ownerships []Ownership, options *ClaimOptions,
) ([]Ownership, error) {
	claims := make([]*claim, 0, len(ownerships))
	for _, o := range ownerships {
		etag, ok := parseETag(o.ETag)
		if !ok {
			s.log.Debug("claim lost: its etag is malformed", zap.Stringer("group", o.Group),
				zap.String("partition", o.PartitionID), zap.String("etag", clip(o.ETag)))
			continue
		}
		claims = append(claims, s.newClaim(o, etag, options))
	}
	won, err := s.claim(ctx, term, claims, options.Ops...)
	s.watchStrays(term, claims)
	return won, err
}

// holdTerm waits for a trusted term and keeps a take-over from beginning until the returned func is called.
func (s *Store) holdTerm(ctx context.Context) (*lease.Term, func(), error) {
	for {
		term, err := s.term(ctx)
		if err != nil {
			return nil, nil, err
		}
		if s.takeover.Acquire(ctx, claimsPart) != nil {
			return nil, nil, context.Cause(ctx)
		}
		release := func() { s.takeover.Release(claimsPart) }
		if term.Err() == nil {
			return term, release, nil
		}
		release()
	}
}

// term waits for a trusted term.
func (s *Store) term(ctx context.Context) (*lease.Term, error) {
	term, err := s.keeper.Term(ctx)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return nil, fmt.Errorf("etcdstore: waiting for a lease: %w", err)
	}
	return term, nil
}

// awaitTerm returns once there is a trusted term and what the store held before has been taken over.
func (s *Store) awaitTerm(ctx context.Context) error {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	_, err = s.term(ctx)
	return err
}

// claim is one claim on its way.
type claim struct {
	won         Ownership // as it is returned if it wins; its etag is set then
	etag        int64     // the ModRevision that the record must have, 0 for no record
	grantIfGone bool
	renews      bool // the store holds the partition under this etag
	takesOver   bool // it moves what the store holds to a new lease
	key         string
	checkpoint  string // the checkpoint's key
	avoid       string // the key of the record that has another member passed over, if there is to be one
	record      ownershipRecord
	found       *mvccpb.KeyValue // what stands there instead, if the claim is lost
	foundOwn    bool             // and whether another claim of this store put it there
	stray       bool             // a copy may win yet, with nobody to know of it
	leaseGone   bool             // lost with the lease
}

func (s *Store) newClaim(o Ownership, etag int64, options *ClaimOptions) *claim {
	c := &claim{
		won:         o,
		etag:        etag,
		grantIfGone: options.GrantIfGone && etag != 0,
		key:         s.keys.key(o.Group, kindOwnership, o.PartitionID),
		checkpoint:  s.keys.key(o.Group, kindCheckpoint, o.PartitionID),
	}
	if options.Avoid != "" {
		c.avoid = s.keys.key(o.Group, kindControl, controlName(controlAvoid, o.PartitionID, options.Avoid))
	}
	c.won.LastModifiedTime = s.claimTime()
	c.record = ownershipRecord{
		OwnerID:          o.OwnerID,
		LastModifiedTime: c.won.LastModifiedTime,
		ClaimID:          s.newID(),
		Reason:           options.Reason,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.owners[c.key]
	if t := s.tenures[c.key]; t != nil && t.held && t.etag == etag {
		c.renews = t.owner == o.OwnerID && !options.Anew
		before = seenOwner{etag: t.etag, owner: t.owner}
		if o.OwnerID == "" {
			t.held = false // whatever becomes of the claim: a take-over must not bring it back
		}
		if c.renews {
			// Why the partition came here stays known while it is renewed.
			c.record.PreviousOwner, c.record.Reason = t.previousOwner, t.reason
		}
	}
	if !c.renews && before.etag == etag && len(before.owner) <= maxPreviousOwner {
		c.record.PreviousOwner = before.owner
	}
	if c.record.Reason == "" {
		c.record.Reason = c.usualReason(before)
	}
	c.won.PreviousOwner, c.won.Reason = c.record.PreviousOwner, c.record.Reason
	return c
}

// usualReason says why a claim is made that gives no reason.
func (c *claim) usualReason(before seenOwner) string {
	switch {
	case c.won.OwnerID == "":
		return "relinquished"
	case c.etag == 0:
		return "it was free"
	case before.etag != c.etag:
		return ""
	case before.owner == "":
		return "it had been relinquished"
	case before.owner == c.won.OwnerID:
		return "its owner starts over"
	default:
		return "taken from its owner"
	}
}

// maxPreviousOwner keeps a record within what its own owner id was checked for.
const maxPreviousOwner = 4 << 10

// part is the claim as a transaction: compare, put, and the checkpoint at the same revision. What stands there instead
// is read if the compare fails, to know one's own claim again if an earlier copy of it has won.
func (c *claim) part(id clientv3.LeaseID) part {
	value := string(c.record.encode())
	read := clientv3.OpGet(c.checkpoint)
	p := part{
		compares:  []clientv3.Cmp{unchanged(c.key, c.etag)},
		then:      []clientv3.Op{clientv3.OpPut(c.key, value, clientv3.WithLease(id)), read},
		otherwise: func() []clientv3.Op { return []clientv3.Op{clientv3.OpGet(c.key), read} },
		depth:     2,
		size:      2*len(c.key) + 2*len(c.checkpoint) + len(value) + 64,
	}
	if c.avoid != "" {
		reason := string(Control{Reason: c.record.Reason}.encode())
		p.then = append(p.then, clientv3.OpPut(c.avoid, reason, clientv3.WithLease(id)))
		p.depth, p.size = p.depth+1, p.size+len(c.avoid)+len(reason)
	}
	if c.grantIfGone {
		lost := p.otherwise
		p.otherwise = func() []clientv3.Op {
			return []clientv3.Op{clientv3.OpTxn([]clientv3.Cmp{unchanged(c.key, 0)}, p.then, lost())}
		}
		p.depth, p.size = 3, 2*p.size
	}
	return p
}

// partOf is operations that are applied whatever becomes of the parts beside them.
func partOf(ops []clientv3.Op) part {
	p := part{then: ops, depth: len(ops), size: 64}
	for _, op := range ops {
		p.size += len(op.KeyBytes()) + len(op.ValueBytes())
	}
	return p
}

// unchanged holds while the record at key has that ModRevision, 0 meaning that there is none.
func unchanged(key string, revision int64) clientv3.Cmp {
	compare := clientv3.ModRevision(key)
	// What clientv3.Compare does as well, on a copy that it makes by reflection.
	to := compare.GetCompare()
	to.Result, to.TargetUnion = pb.Compare_EQUAL, &pb.Compare_ModRevision{ModRevision: revision}
	return compare
}

// claim sends claims under a term that is held, with ops beside them, and returns the winners.
func (s *Store) claim(
	ctx context.Context, term *lease.Term, claims []*claim, ops ...clientv3.Op,
) ([]Ownership, error) {
	parts := make([]part, len(claims), len(claims)+1)
	for i, c := range claims {
		parts[i] = c.part(term.ID())
	}
	if len(ops) > 0 && len(claims) > 0 {
		parts = append(parts, partOf(ops))
	}
	var failures []error
	var lost, unknown int
	won := make([]Ownership, 0, len(claims))
	for i, out := range s.settle(ctx, parts) {
		if i == len(claims) {
			if out.err != nil {
				failures = append(failures, out.err)
			}
			break
		}
		c := claims[i]
		switch {
		case errors.Is(out.err, lease.ErrLeaseGone):
			// No copy can be applied any more, and what one has written went with the lease.
			c.leaseGone = true
			lost++
		case out.err != nil:
			failures = append(failures, out.err)
			unknown++
			c.stray = out.repeated
		default:
			// "No record" can come true again, and with it a late copy. Other compares never do: revisions only grow.
			c.stray = out.repeated && (c.etag == 0 || c.grantIfGone)
			if revision, created, ok := s.decide(c, out); ok {
				won = append(won, s.noteWon(c, term, revision, created, out.TxnResponse))
			} else {
				s.noteLost(c)
				lost++
			}
		}
	}
	s.meters.won.Add(float64(len(won)))
	s.meters.lost.Add(float64(lost))
	s.meters.unclaimed.Add(float64(unknown))
	s.log.Debug("claimed", zap.Int("won", len(won)), zap.Int("lost", lost), zap.Int("failed", unknown))
	if len(failures) > 0 {
		return won, fmt.Errorf("etcdstore: %d of %d claims failed: %w", len(failures), len(claims), joinDistinct(failures))
	}
	return won, nil
}

// decide tells from an answer whether the claim has won, at which revision, and whether it created the record.
func (s *Store) decide(c *claim, out outcome) (revision int64, created, ok bool) {
	inner := out.TxnResponse
	created = c.etag == 0
	if !inner.Succeeded && c.grantIfGone {
		inner = inner.Responses[0].GetResponseTxn()
		created = true
	}
	if inner.Succeeded {
		return out.revision, created, true
	}
	if c.found = rangeOne(inner.Responses[0]); c.found == nil {
		return 0, false, false
	}
	found, err := decodeOwnership(c.found.Value)
	if err != nil || found.ClaimID != c.record.ClaimID {
		c.foundOwn = err == nil && s.isOwnID(found.ClaimID)
		return 0, false, false
	}
	return c.found.ModRevision, c.found.CreateRevision == c.found.ModRevision, true
}

// checkpointIn returns the checkpoint that an answer holds, wherever its claim was decided.
func checkpointIn(resp *pb.TxnResponse) *mvccpb.KeyValue {
	if inner := resp.Responses[0].GetResponseTxn(); inner != nil {
		resp = inner
	}
	return rangeOne(resp.Responses[1])
}

func rangeOne(op *pb.ResponseOp) *mvccpb.KeyValue {
	if kvs := op.GetResponseRange().GetKvs(); len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}

// parseETag reads an etag: 0 for none. Only what formatETag writes is well formed.
func parseETag(etag string) (int64, bool) {
	if etag == "" {
		return 0, true
	}
	revision, err := strconv.ParseInt(etag, 10, 64)
	return revision, err == nil && revision > 0 && formatETag(revision) == etag
}

func formatETag(revision int64) string { return strconv.FormatInt(revision, 10) }

// joinDistinct joins errors, those that say the same only once: claims fail together and for one reason.
func joinDistinct(errs []error) error {
	seen := make(map[string]bool, len(errs))
	var distinct []error
	for _, err := range errs {
		if err != nil && !seen[err.Error()] {
			seen[err.Error()] = true
			distinct = append(distinct, err)
		}
	}
	return errors.Join(distinct...)
}
