package etcdstore

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// SetControl says what is wanted of members or partitions, by their owner ids or partition ids, in place of what was
// said of that kind before. Every member of the group plans accordingly, as soon as its watch tells it. Names that
// nobody has do no harm, and hold once somebody has them.
//
// A control with an ExpiresAt is put on a lease for the time that is left until then, at least the shortest that etcd
// grants, so that etcd itself removes it. The store sets SetAt.
//
// Errors: [ErrInvalidArgument] before anything is sent; [ErrClosed]; ctx's error, with [ErrOutcomeUnknown] if some may
// have been set or may yet be, until controls of the group are next set or removed; [lease.ErrPermissionDenied];
// [lease.ErrLeaseGone] if the time had run out before it could be set. Setting it again does no harm.
func (s *Store) SetControl(
	ctx context.Context, group Group, kind ControlKind, control Control, names ...string,
) error {
	p := controlProblems(group, kind, names)
	p.path = "control"
	switch kind {
	case Pin, Avoid:
		p.name("OwnerID", control.OwnerID)
	case Cordon, Drain, Pause:
		if control.OwnerID != "" {
			p.add("OwnerID", strconv.Quote(control.OwnerID), "none: a "+string(kind)+" names no other member")
		}
	}
	p.text("Reason", control.Reason)
	p.text("SetBy", control.SetBy)
	if size := len(control.Reason) + len(control.SetBy); size > maxRecordBytes/2 { // names are long, too
		p.add("Reason", strconv.Itoa(size)+" bytes with SetBy", strconv.Itoa(maxRecordBytes/2)+" bytes at the most")
	}
	lasts := time.Until(control.ExpiresAt)
	if expires := !control.ExpiresAt.IsZero(); expires && lasts <= 0 {
		p.add("ExpiresAt", control.ExpiresAt.Format(time.RFC3339), "a time to come, or none")
	} else if !expires {
		lasts = 0
	}
	if len(p.all) > 0 {
		return errors.Join(p.all...)
	}
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	var options []clientv3.OpOption
	if lasts > 0 {
		granted, err := persist(ctx, s, func(ctx context.Context) (*clientv3.LeaseGrantResponse, error) {
			return s.client.Grant(ctx, int64(math.Ceil(lasts.Seconds())))
		})
		if err != nil {
			return err
		}
		options = append(options, clientv3.WithLease(granted.ID))
	}
	control.SetAt = time.Now()
	avoided := control.OwnerID
	if kind == Avoid {
		control.OwnerID = ""
	}
	value := string(control.encode())
	return s.alter(ctx, group, names, func(name string) clientv3.Op {
		if kind == Avoid {
			return clientv3.OpPut(s.keys.key(group, kindControl, controlName(controlAvoid, name, avoided)), value, options...)
		}
		return clientv3.OpPut(s.keys.key(group, kindControl, controlName(string(kind), name)), value, options...)
	})
}

// RemoveControl takes back what was wanted of members or partitions. What nobody wants is passed over. For members that
// are passed over for a partition there is [Store.Readmit].
//
// Errors: those of SetControl.
func (s *Store) RemoveControl(ctx context.Context, group Group, kind ControlKind, names ...string) error {
	p := controlProblems(group, kind, names)
	if kind == Avoid {
		p.kind(kind, "another one: Readmit takes back that a member is passed over")
	}
	if len(p.all) > 0 {
		return errors.Join(p.all...)
	}
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return s.alter(ctx, group, names, func(name string) clientv3.Op {
		return clientv3.OpDelete(s.keys.key(group, kindControl, controlName(string(kind), name)))
	})
}

func controlProblems(group Group, kind ControlKind, names []string) *problems {
	p := &problems{path: "group"}
	p.group(group)
	field := "PartitionID"
	switch kind {
	case Cordon, Drain:
		field = "OwnerID"
	case Pin, Pause, Avoid:
	default:
		p.kind(kind, "cordon, drain, pin, pause or avoid")
	}
	p.names("names", field, names)
	return p
}

func (p *problems) kind(kind ControlKind, want string) {
	p.all = append(p.all, &ArgumentError{Field: "kind", Value: string(kind), Want: want})
}

// alter changes controls by names, as many as fit in one transaction at a time. Each compares that no other change has
// come since it was made up, by a record that every change puts anew: a copy that arrives late must not bring back
// what was taken back meanwhile.
func (s *Store) alter(ctx context.Context, group Group, names []string, op func(name string) clientv3.Op) error {
	key := s.keys.key(group, kindControl, controlChanges)
	latest, err := s.read(ctx, key)
	if err != nil {
		return err
	}
	var revision int64
	if len(latest.Kvs) > 0 {
		revision = latest.Kvs[0].ModRevision
	}
	return s.alterAt(ctx, key, revision, names, op)
}

// alterAt is alter for who has read the revision of the latest change.
func (s *Store) alterAt(
	ctx context.Context, key string, revision int64, names []string, op func(name string) clientv3.Op,
) error {
	names = slices.Compact(slices.Sorted(slices.Values(names))) // a transaction must not put a key twice
	for len(names) > 0 {
		id := s.newID()
		all := partOf([]clientv3.Op{clientv3.OpPut(key, string(encodeChange(id)))})
		ops, bytes := int(s.limits.ops.Load()), int(s.limits.bytes.Load())
		n := 0
		for ; n < len(names) && (n == 0 || all.depth < ops && all.size < bytes); n++ {
			next := partOf([]clientv3.Op{op(names[n])})
			all.then, all.depth, all.size = append(all.then, next.then...), all.depth+1, all.size+next.size
		}
		answer, err := s.send(ctx, []clientv3.Cmp{unchanged(key, revision)}, all.then,
			[]clientv3.Op{clientv3.OpGet(key)})
		switch {
		case err != nil && n > 1 && s.limits.learn(err, all.depth, all.size):
			continue // this server takes less at a time
		case err != nil:
			return err
		case answer.Succeeded:
			revision, names = answer.Header.Revision, names[n:]
			continue
		}
		revision = 0
		if found := rangeOne(answer.Responses[0]); found != nil {
			revision = found.ModRevision
			if changeID(found.Value) == id {
				names = names[n:] // an earlier copy has been applied
			}
		}
	}
	return nil
}

func encodeChange(id string) []byte {
	var o objectWriter
	o.text(fieldWriteID, id)
	return o.end()
}

// changeID returns who made a change, "" if that cannot be read.
func changeID(value []byte) (id string) {
	_ = readObject(value, []field{{name: fieldWriteID, into: &id}})
	return id
}
