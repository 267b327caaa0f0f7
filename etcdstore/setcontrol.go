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
// have been or may yet be set; [lease.ErrPermissionDenied]. Setting it again does no harm.
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
		granted, err := persist(ctx, &s.latestAnswer, func(ctx context.Context) (*clientv3.LeaseGrantResponse, error) {
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
	return s.change(ctx, names, func(name string) clientv3.Op {
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
	return s.change(ctx, names, func(name string) clientv3.Op {
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

// change makes independent changes, many in a request. The error says which kinds of failures there were.
func (s *Store) change(ctx context.Context, names []string, op func(name string) clientv3.Op) error {
	names = slices.Compact(slices.Sorted(slices.Values(names))) // a transaction must not put a key twice
	parts := make([]part, len(names))
	for i, name := range names {
		parts[i] = partOf([]clientv3.Op{op(name)})
	}
	failures := make([]error, len(parts))
	for i, out := range s.settle(ctx, parts) {
		failures[i] = out.err
	}
	return joinDistinct(failures)
}
