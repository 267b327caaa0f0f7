package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/internal/etcderr"
)

// ErrTooManyPartitions means that the list of a group's partitions would be larger than etcd takes in one request.
var ErrTooManyPartitions = errors.New("too many partitions for one record")

// AddPartitions adds ids to a group's partitions, which [Controls] lists; those that are there already are passed over,
// and nothing is written if all are. Members of a group plan with this list and not each with its own: those that know
// different sets would leave partitions unowned for ever.
//
// Errors: [ErrInvalidArgument] before anything is sent; [ErrCorruptRecord] if the list cannot be read, since writing a
// new one could lose partitions; [ErrTooManyPartitions]; [ErrClosed]; ctx's error; [lease.ErrPermissionDenied].
func (s *Store) AddPartitions(ctx context.Context, group Group, ids []string) error {
	p := problems{path: "group"}
	p.group(group)
	p.partitions("ids", ids)
	if len(p.all) > 0 {
		return errors.Join(p.all...)
	}
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	key := s.keys.key(group, kindControl, controlPartitions)
	resp, err := s.read(ctx, key)
	if err != nil {
		return err
	}
	var found *mvccpb.KeyValue
	if len(resp.Kvs) > 0 {
		found = resp.Kvs[0]
	}
	for {
		var known []string
		var revision int64
		if found != nil {
			revision = found.ModRevision
			if known, err = decodePartitions(found.Value); err != nil {
				return newRecordError(key, revision, err)
			}
		}
		all := slices.Concat(known, ids)
		slices.Sort(all)
		all = slices.Compact(all)
		if len(all) == len(known) {
			return nil
		}
		value := string(encodePartitions(all))
		answer, err := s.send(ctx, []clientv3.Cmp{unchanged(key, revision)},
			[]clientv3.Op{clientv3.OpPut(key, value)}, []clientv3.Op{clientv3.OpGet(key)})
		switch {
		case etcderr.TooLarge(err):
			return fmt.Errorf("%w: %d partitions make a value of %d bytes; raise etcd's --max-request-bytes: %w",
				ErrTooManyPartitions, len(all), len(value), err)
		case err != nil:
			return err
		case answer.Succeeded:
			return nil
		}
		found = rangeOne(answer.Responses[0]) // another member was faster, or an earlier copy of this
	}
}

func (p *problems) partitions(path string, ids []string) { p.names(path, "PartitionID", ids) }

func (p *problems) names(path, field string, names []string) {
	for i, name := range names {
		p.path, p.index = path, i+1
		p.name(field, name)
	}
	p.index = 0
}

// Readmit removes the records that have a member passed over for partitions, see [ClaimOptions].
//
// Errors: [ErrInvalidArgument] before anything is sent; [ErrClosed]; ctx's error; [lease.ErrPermissionDenied].
func (s *Store) Readmit(ctx context.Context, group Group, ownerID string, partitions ...string) error {
	return s.avoid(ctx, group, ownerID, "", partitions, func(_ context.Context, key string) (clientv3.Op, error) {
		return clientv3.OpDelete(key), nil
	})
}

// Exclude has a member passed over for partitions while there is another, for as long as this store's present lease
// lasts or until [Store.Readmit].
//
// Errors: those of Readmit; [ErrNoKeeper]; [lease.ErrLeaseGone] if the lease was lost meanwhile.
func (s *Store) Exclude(ctx context.Context, group Group, ownerID, reason string, partitions ...string) error {
	if s.keeper == nil {
		return ErrNoKeeper
	}
	value := string(Control{Reason: reason}.encode())
	return s.avoid(ctx, group, ownerID, reason, partitions, func(ctx context.Context, key string) (clientv3.Op, error) {
		term, err := s.term(ctx)
		if err != nil {
			return clientv3.Op{}, err
		}
		return clientv3.OpPut(key, value, clientv3.WithLease(term.ID())), nil
	})
}

// avoid changes the records that have a member passed over.
func (s *Store) avoid(
	ctx context.Context, group Group, ownerID, reason string, partitions []string,
	op func(ctx context.Context, key string) (clientv3.Op, error),
) error {
	p := problems{path: "group"}
	p.group(group)
	p.path = "ownerID"
	p.name("OwnerID", ownerID)
	p.path = "reason"
	p.text("Reason", reason)
	p.partitions("partitions", partitions)
	if len(p.all) > 0 {
		return errors.Join(p.all...)
	}
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	ops := make(map[string]clientv3.Op, len(partitions))
	for _, id := range partitions {
		if ops[id], err = op(ctx, s.keys.key(group, kindControl, controlName(controlAvoid, id, ownerID))); err != nil {
			return err
		}
	}
	parts := make([]part, 0, len(ops))
	for _, id := range slices.Sorted(maps.Keys(ops)) {
		parts = append(parts, partOf([]clientv3.Op{ops[id]}))
	}
	failures := make([]error, len(parts))
	for i, out := range s.settle(ctx, parts) {
		failures[i] = out.err
	}
	return joinDistinct(failures)
}
