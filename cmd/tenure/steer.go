package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/etcdstore"
)

// steerFlags are those of commands that say what is wanted of members or partitions.
type steerFlags struct {
	reason  string
	lasts   time.Duration
	timeout time.Duration
	to      string
	now     bool
}

func (f *steerFlags) define(flags *pflag.FlagSet) {
	flags.StringVar(&f.reason, "reason", "", "why, for whoever looks at it")
	flags.DurationVar(&f.lasts, "for", 0, "have etcd take it back by itself after this long (0: it stays)")
}

func (f *steerFlags) defineTimeout(flags *pflag.FlagSet, until string) {
	flags.DurationVar(&f.timeout, "timeout", 2*time.Minute, "wait this long until "+until+"; 0 does not wait")
}

func (f *steerFlags) check() error {
	var p problems
	p.wantf(f.lasts == 0 || f.lasts >= time.Second, "--for must be at least 1s, not %v", f.lasts)
	p.wantf(f.timeout >= 0, "--timeout must be at least 0, not %v", f.timeout)
	return p.err()
}

// control is what is to be set.
func (f *steerFlags) control() etcdstore.Control {
	c := etcdstore.Control{Reason: f.reason, SetBy: operator()}
	if f.lasts > 0 {
		c.ExpiresAt = time.Now().Add(f.lasts)
	}
	return c
}

// operator names who gives a command: the user, and the machine.
func operator() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

// steering is one command at work on a group.
type steering struct {
	*app

	ctx    context.Context //nolint:containedctx // It lives as long as the command.
	flags  *steerFlags
	store  *etcdstore.Store
	mirror *etcdstore.Mirror
	group  etcdstore.Group
}

// steer has a command work on a group.
func (a *app) steer(ctx context.Context, group string, f *steerFlags, work func(*steering) error) error {
	if err := f.check(); err != nil {
		return err
	}
	return a.withGroup(ctx, group, func(store *etcdstore.Store, mirror *etcdstore.Mirror) error {
		return work(&steering{a, ctx, f, store, mirror, mirror.Snapshot().Group})
	})
}

func (s *steering) set(kind etcdstore.ControlKind, control etcdstore.Control, names ...string) error {
	bounded, cancel := context.WithTimeout(s.ctx, readLimit)
	defer cancel()
	if err := s.store.SetControl(bounded, s.group, kind, control, names...); err != nil {
		return fmt.Errorf("%s %s: %w", kind, strings.Join(names, " "), err)
	}
	return nil
}

func (s *steering) remove(kind etcdstore.ControlKind, names ...string) error {
	bounded, cancel := context.WithTimeout(s.ctx, readLimit)
	defer cancel()
	if err := s.store.RemoveControl(bounded, s.group, kind, names...); err != nil {
		return fmt.Errorf("take back the %s of %s: %w", kind, strings.Join(names, " "), err)
	}
	return nil
}

func (s *steering) sayf(format string, values ...any) error {
	if _, err := fmt.Fprintf(s.stdout, format+"\n", values...); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

// errTimedOut: what was wanted had not come about in time.
var errTimedOut = errors.New("not in time")

// await waits until nothing is left to be done, and says how much is whenever that has changed. left names it.
func (s *steering) await(doing string, left func(*etcdstore.Snapshot) []string) ([]string, error) {
	if s.flags.timeout == 0 {
		return nil, nil
	}
	timeout := time.NewTimer(s.flags.timeout)
	defer timeout.Stop()
	said := -1
	for {
		snapshot := s.mirror.Snapshot()
		now := left(snapshot)
		if len(now) == 0 {
			return nil, nil
		}
		if len(now) != said {
			said = len(now)
			if err := s.sayf("%s: %d left (%s)", doing, said, inspect.Some(now, 8)); err != nil {
				return nil, err
			}
		}
		select {
		case <-s.ctx.Done():
			return now, context.Cause(s.ctx)
		case <-timeout.C:
			return now, errTimedOut
		case <-snapshot.Changed():
			if err := s.mirror.Err(); err != nil {
				return now, fmt.Errorf("follow the group: %w", err)
			}
		}
	}
}

// late says that something was not done in time, and what it may be.
func (s *steering) late(what string, left []string, do string) error {
	return &problem.Error{
		What: fmt.Sprintf("after %v %s: %s", s.flags.timeout, what, inspect.Some(left, 8)), Do: do,
	}
}

// foreign tells which of some partitions are owned by others than members, which obey no controls.
func foreign(s *etcdstore.Snapshot, partitions []string) (ids []string) {
	for _, id := range partitions {
		owner := s.Ownerships[id].OwnerID
		if _, member := s.Members[owner]; owner != "" && !member {
			ids = append(ids, id)
		}
	}
	return ids
}

// checkMembers makes sure that all of them are there.
func (s *steering) checkMembers(ids []string) error {
	for _, id := range ids {
		if _, err := findMember(s.mirror.Snapshot(), id); err != nil {
			return err
		}
	}
	return nil
}

func (s *steering) checkPartitions(ids []string) error {
	snapshot := s.mirror.Snapshot()
	known := make(map[string]bool)
	for _, p := range inspect.Partitions(snapshot) {
		known[p.ID] = true
	}
	for _, id := range ids {
		if !known[id] {
			_, err := findPartition(snapshot, id)
			return err
		}
	}
	return nil
}

// steerCommand makes a command that steers.
func (a *app) steerCommand(
	f *steerFlags, command *cobra.Command, work func(s *steering, names []string) error, names ...string,
) *cobra.Command {
	command.Annotations = quiet()
	command.Args = exactly(names...)
	command.RunE = func(command *cobra.Command, args []string) error {
		return a.steer(command.Context(), args[0], f, func(s *steering) error { return work(s, slices.Compact(args[1:])) })
	}
	return command
}
