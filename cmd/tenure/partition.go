package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/etcdstore"
)

const partitionHelp = `See and steer the partitions of a group. What is wanted of a partition is a record in etcd that
every member's plan obeys, from the moment when its watch tells it.`

const partitionListHelp = `List a group's partitions: who owns each and since when, up to where its events have been
handled, how old that checkpoint is, what is wanted of it, and why it moved to its owner.

With --source the stream is asked how many events each partition is behind. ` + sourceHelp + `

With --watch nothing is listed, and a line is printed whenever a partition changes hands or something
else is wanted of it. etcd is not polled for that.`

func (a *app) partitionCommand() *cobra.Command {
	var listed, shown outputFlags
	var source sourceFlags
	list := &cobra.Command{
		Use: "list GROUP", Short: "List a group's partitions, with owners and checkpoints", Long: partitionListHelp,
		Args: exactly("GROUP"), Annotations: quiet(),
		Example: "  tenure partition list orders/billing\n  tenure partition list orders/billing --watch\n" +
			"  tenure partition list orders/billing --source files:./orders",
		RunE: func(command *cobra.Command, args []string) error {
			return a.listPartitions(command.Context(), &listed, &source, args[0])
		},
	}
	listed.define(list.Flags())
	listed.defineWatch(list.Flags())
	source.define(list.Flags(), "how many events each is behind")
	show := &cobra.Command{
		Use: "show GROUP PARTITION", Short: "Show a partition and its last moves", Args: exactly("GROUP", "PARTITION"),
		Annotations: quiet(),
		Long: `Show a partition: its owner, its checkpoint, what is wanted of it, and where it has been, as far back as
etcd remembers: to its last compaction.`,
		Example: "  tenure partition show orders/billing 7",
		RunE: func(command *cobra.Command, args []string) error {
			return a.showPartition(command.Context(), &shown, args[0], args[1])
		},
	}
	shown.define(show.Flags())
	return commands("partition", "See and steer the partitions of a group", partitionHelp,
		append([]*cobra.Command{list, show}, a.partitionSteering()...)...)
}

func (a *app) listPartitions(ctx context.Context, f *outputFlags, source *sourceFlags, group string) error {
	if err := f.check(); err != nil {
		return err
	}
	return a.withGroup(ctx, group, func(_ *etcdstore.Store, mirror *etcdstore.Mirror) error {
		if f.watch {
			return a.follow(ctx, f, mirror, inspect.PartitionChanges)
		}
		s := mirror.Snapshot()
		partitions := inspect.Partitions(s)
		stream, err := a.openStream(ctx, source, s.Group, "")
		if err != nil {
			return err
		}
		if stream != nil {
			defer stream.close()
			lags, err := lagsOf(ctx, stream, s)
			if err != nil {
				return err
			}
			for i := range partitions {
				partitions[i].Lag = lags[partitions[i].ID]
			}
		}
		return a.show(f, partitions, func(page *inspect.Page) {
			page.Table(inspect.PartitionTable(partitions, time.Now()))
		})
	})
}

// partitionDetails is what is shown of a partition.
type partitionDetails struct {
	inspect.Partition

	Moves         []inspect.Move `json:"moves"` // oldest first
	RemembersFrom int64          `json:"remembers_from_revision"`
}

func (a *app) showPartition(ctx context.Context, f *outputFlags, group, partition string) error {
	if err := f.check(); err != nil {
		return err
	}
	return a.withGroup(ctx, group, func(store *etcdstore.Store, mirror *etcdstore.Mirror) error {
		s, now := mirror.Snapshot(), time.Now()
		found, err := findPartition(s, partition)
		if err != nil {
			return err
		}
		bounded, cancel := context.WithTimeout(ctx, readLimit)
		defer cancel()
		moves, since, err := store.ListMoves(bounded, s.Group, partition)
		if err != nil {
			return fmt.Errorf("read the partition's history: %w", err)
		}
		d := partitionDetails{Partition: found, Moves: inspect.Moves(moves), RemembersFrom: since}
		return a.show(f, d, func(page *inspect.Page) {
			page.Table(inspect.PartitionTable([]inspect.Partition{found}, now))
			page.Linef("")
			for _, c := range found.Controls {
				page.Linef("It is %s.", c.Words(now))
			}
			for _, text := range found.Corrupt {
				page.Linef("CORRUPT: %s", text)
			}
			page.Linef("Its moves, newest first, as etcd remembers them from revision %d on:", since)
			page.Linef("")
			page.Table(inspect.MoveTable(d.Moves, now))
		})
	})
}

// findPartition returns one partition, or says which may have been meant.
func findPartition(s *etcdstore.Snapshot, id string) (inspect.Partition, error) {
	var names []string
	for _, p := range inspect.Partitions(s) {
		if p.ID == id {
			return p, nil
		}
		names = append(names, p.ID)
	}
	group := s.Group.String()
	return inspect.Partition{}, unknown("partition", id, "in "+group, names, "tenure partition list "+group)
}
