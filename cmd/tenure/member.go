package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/etcdstore"
)

const memberHelp = "See and steer the members of a group: the processes that share its partitions."

const memberListHelp = `List who takes part in a group: its members, owners of partitions that are no members (the Event
Hubs SDK's Processor, programs that use the store), and members that are away and whose partitions are
kept.

With --watch nothing is listed, and a line is printed for whatever becomes of them.`

func (a *app) memberCommand() *cobra.Command {
	var listed, shown outputFlags
	list := &cobra.Command{
		Use: "list GROUP", Short: "List a group's members", Long: memberListHelp,
		Args: exactly("GROUP"), Annotations: quiet(),
		Example: "  tenure member list orders/billing\n  tenure member list orders/billing --watch -o json",
		RunE: func(command *cobra.Command, args []string) error {
			return a.listMembers(command.Context(), &listed, args[0])
		},
	}
	listed.define(list.Flags())
	listed.defineWatch(list.Flags())
	show := &cobra.Command{
		Use: "show GROUP MEMBER", Short: "Show a member and its partitions", Args: exactly("GROUP", "MEMBER"),
		Annotations: quiet(),
		Example:     "  tenure member show orders/billing pod-1",
		RunE: func(command *cobra.Command, args []string) error {
			return a.showMember(command.Context(), &shown, args[0], args[1])
		},
	}
	shown.define(show.Flags())
	return commands("member", "See and steer the members of a group", memberHelp,
		append([]*cobra.Command{list, show}, a.memberSteering()...)...)
}

func (a *app) listMembers(ctx context.Context, f *outputFlags, group string) error {
	if err := f.check(); err != nil {
		return err
	}
	return a.withGroup(ctx, group, func(_ *etcdstore.Store, mirror *etcdstore.Mirror) error {
		if f.watch {
			return a.follow(ctx, f, mirror, inspect.MemberChanges)
		}
		members := inspect.Members(mirror.Snapshot())
		return a.show(f, members, func(page *inspect.Page) {
			page.Table(inspect.MemberTable(members, time.Now()))
		})
	})
}

// memberDetails is what is shown of a member.
type memberDetails struct {
	inspect.Member

	Owns []inspect.Partition `json:"owns"`
}

func (a *app) showMember(ctx context.Context, f *outputFlags, group, id string) error {
	if err := f.check(); err != nil {
		return err
	}
	return a.withGroup(ctx, group, func(_ *etcdstore.Store, mirror *etcdstore.Mirror) error {
		s, now := mirror.Snapshot(), time.Now()
		found, err := findMember(s, id)
		if err != nil {
			return err
		}
		d := memberDetails{Member: found, Owns: []inspect.Partition{}}
		for _, p := range inspect.Partitions(s) {
			if p.OwnerID == id {
				d.Owns = append(d.Owns, p)
			}
		}
		return a.show(f, d, func(page *inspect.Page) {
			page.Table(inspect.MemberTable([]inspect.Member{found}, now))
			for _, c := range found.Controls {
				page.Linef("")
				page.Linef("It is %s.", c.Words(now))
			}
			page.Linef("")
			page.Table(inspect.PartitionTable(d.Owns, now))
		})
	})
}

// findMember returns one member, or says which may have been meant.
func findMember(s *etcdstore.Snapshot, id string) (inspect.Member, error) {
	var names []string
	for _, m := range inspect.Members(s) {
		if m.OwnerID == id {
			return m, nil
		}
		names = append(names, m.OwnerID)
	}
	group := s.Group.String()
	return inspect.Member{}, unknown("member", id, "in "+group, names, "tenure member list "+group)
}
