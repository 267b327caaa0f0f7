package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/etcdstore"
)

const groupHelp = `See the groups that share an etcd. GROUP is namespace/hub/group, or topic/group in the namespace
"local".`

func (a *app) groupCommand() *cobra.Command {
	var listed, shown outputFlags
	list := &cobra.Command{
		Use: "list", Short: "List the groups that share this prefix", Args: noArguments, Annotations: quiet(),
		Example: "  tenure group list --endpoints localhost:2379\n  tenure group list -o json\n  tenure group list --watch",
		RunE: func(command *cobra.Command, _ []string) error {
			return a.listGroups(command.Context(), &listed)
		},
	}
	listed.define(list.Flags())
	listed.defineWatch(list.Flags())
	show := &cobra.Command{
		Use: "show GROUP", Short: "Show a group: its members, and what is to be noticed", Args: exactly("GROUP"),
		Annotations: quiet(),
		Example:     "  tenure group show orders/billing",
		RunE: func(command *cobra.Command, args []string) error {
			return a.showGroup(command.Context(), &shown, args[0])
		},
	}
	shown.define(show.Flags())
	return commands("group", "See the groups that share an etcd", groupHelp, list, show)
}

func (a *app) listGroups(ctx context.Context, f *outputFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	return a.withReader(ctx, func(store *etcdstore.Store) error {
		if f.watch {
			return a.followGroups(ctx, f, store)
		}
		bounded, cancel := context.WithTimeout(ctx, readLimit)
		defer cancel()
		all, err := store.ListGroups(bounded)
		if err != nil {
			return fmt.Errorf("list the groups: %w", err)
		}
		groups := make([]inspect.Group, len(all))
		for i, s := range all {
			groups[i] = inspect.Summary(s)
		}
		return a.show(f, groups, func(page *inspect.Page) {
			if len(groups) == 0 {
				page.Linef("There are no groups under %s.", a.etcd.Prefix)
				return
			}
			page.Table(inspect.GroupTable(groups))
		})
	})
}

// followGroups prints a line for each group whose summary is another.
func (a *app) followGroups(ctx context.Context, f *outputFlags, store *etcdstore.Store) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	known := make(map[string]inspect.Group)
	err := store.FollowGroups(ctx, func(s *etcdstore.Snapshot) {
		now := inspect.Summary(s)
		before, found := known[now.Group]
		known[now.Group] = now
		if before.Revision = now.Revision; found && before == now {
			return // a checkpoint, or what is no part of the summary
		}
		var page inspect.Page
		err := f.line(&page, inspect.GroupChange{Time: time.Now(), Group: now, New: !found, Gone: s.IsEmpty()})
		if s.IsEmpty() {
			delete(known, now.Group)
		}
		if err == nil {
			err = a.print(&page)
		}
		if err != nil {
			stop(err)
		}
	})
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// groupDetails is what is shown of a group.
type groupDetails struct {
	inspect.Group

	MemberList []inspect.Member    `json:"member_list"`
	Unowned    []string            `json:"unowned"`
	Controlled []inspect.Partition `json:"controlled"` // partitions that operators or members want something of
	Problems   []string            `json:"problems"`   // records that cannot be read
}

func (a *app) showGroup(ctx context.Context, f *outputFlags, group string) error {
	if err := f.check(); err != nil {
		return err
	}
	return a.withGroup(ctx, group, func(_ *etcdstore.Store, mirror *etcdstore.Mirror) error {
		s, now := mirror.Snapshot(), time.Now()
		d := groupDetails{
			Group: inspect.Summary(s), MemberList: inspect.Members(s), Unowned: []string{},
			Controlled: []inspect.Partition{}, Problems: inspect.Problems(s),
		}
		for _, p := range inspect.Partitions(s) {
			if p.OwnerID == "" {
				d.Unowned = append(d.Unowned, p.ID)
			}
			if len(p.Controls) > 0 {
				d.Controlled = append(d.Controlled, p)
			}
		}
		return a.show(f, d, func(page *inspect.Page) {
			page.Linef("group %s at revision %d", d.Group.Group, d.Revision)
			page.Linef("%d partitions, %d owned, %d checkpoints", d.Partitions, d.Owned, d.Checkpoints)
			if len(d.Unowned) > 0 {
				page.Linef("without an owner: %s", inspect.Some(d.Unowned, 20))
			}
			for _, p := range d.Controlled {
				for _, c := range p.Controls {
					page.Linef("partition %s is %s", p.ID, c.Words(now))
				}
			}
			for _, m := range d.MemberList {
				for _, c := range m.Controls {
					page.Linef("member %s is %s", m.OwnerID, c.Words(now))
				}
			}
			for _, text := range d.Problems {
				page.Linef("CORRUPT: %s", text)
			}
			page.Linef("")
			page.Table(inspect.MemberTable(d.MemberList, now))
		})
	})
}
