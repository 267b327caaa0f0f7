package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/etcdstore"
)

const checkpointHelp = `See, set and carry the checkpoints of a group: up to where the events of each partition have
been handled.`

func (a *app) checkpointCommand() *cobra.Command {
	var listed, shown outputFlags
	list := &cobra.Command{
		Use: "list GROUP", Short: "List a group's checkpoints", Args: exactly("GROUP"), Annotations: quiet(),
		Example: "  tenure checkpoint list orders/billing\n  tenure checkpoint list orders/billing --watch",
		RunE: func(command *cobra.Command, args []string) error {
			return a.listCheckpoints(command.Context(), &listed, args[0])
		},
	}
	listed.define(list.Flags())
	listed.defineWatch(list.Flags())
	show := &cobra.Command{
		Use: "show GROUP PARTITION", Short: "Show a partition's checkpoint", Args: exactly("GROUP", "PARTITION"),
		Annotations: quiet(),
		Example:     "  tenure checkpoint show orders/billing 7 -o json",
		RunE: func(command *cobra.Command, args []string) error {
			return a.showCheckpoint(command.Context(), &shown, args[0], args[1])
		},
	}
	shown.define(show.Flags())
	return commands("checkpoint", "See, set and carry the checkpoints of a group", checkpointHelp,
		append([]*cobra.Command{list, show}, a.rewriting()...)...)
}

func (a *app) listCheckpoints(ctx context.Context, f *outputFlags, group string) error {
	if err := f.check(); err != nil {
		return err
	}
	return a.withGroup(ctx, group, func(_ *etcdstore.Store, mirror *etcdstore.Mirror) error {
		if f.watch {
			return a.follow(ctx, f, mirror, inspect.CheckpointChanges)
		}
		checkpoints := inspect.Checkpoints(mirror.Snapshot())
		return a.show(f, checkpoints, func(page *inspect.Page) {
			page.Table(inspect.CheckpointTable(checkpoints, time.Now()))
		})
	})
}

func (a *app) showCheckpoint(ctx context.Context, f *outputFlags, group, partition string) error {
	if err := f.check(); err != nil {
		return err
	}
	return a.withGroup(ctx, group, func(_ *etcdstore.Store, mirror *etcdstore.Mirror) error {
		s := mirror.Snapshot()
		checkpoints := inspect.Checkpoints(s)
		for i := range checkpoints {
			if checkpoints[i].ID == partition {
				return a.show(f, checkpoints[i], func(page *inspect.Page) {
					page.Table(inspect.CheckpointTable(checkpoints[i:i+1], time.Now()))
				})
			}
		}
		var names []string
		for _, c := range checkpoints {
			names = append(names, c.ID)
		}
		return unknown("checkpoint of partition", partition, "in "+group, names, "tenure checkpoint list "+group)
	})
}
