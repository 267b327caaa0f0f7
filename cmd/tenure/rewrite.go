package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
	"github.com/tenure-go/tenure/etcdstore"
)

const rewriteHelp = `
Partitions that somebody owns are refused: their owners would go on from where they are and write it
back. Pause them first (tenure partition pause), or take them away with --take-away: that is one
transaction with the new checkpoint, so that the former owner can write nothing any more, and whoever
owns the partition next begins at the new one. What was handled since is then handled again.

It is done in batches, each as a whole or not at all, and only as long as nothing has become of the
partitions since the command has looked. One that was broken off can be given again. --dry-run shows
what would be done and changes nothing.`

const resetHelp = `Set the checkpoints of partitions, also back. --to says where:

  earliest      no event counts as handled
  latest        all events that there are now do; the stream of --source is asked
  TIME          those enqueued before it do, as in 2026-05-01T12:00:00Z; the stream is asked
  sequence:N    that with this sequence number is the last that does
  offset:TEXT   that with this offset is

` + sourceHelp + "\n" + rewriteHelp

const deleteHelp = `Delete the checkpoints of partitions. Whoever owns one next begins where it begins without a
checkpoint: "tenure consume" at --from.
` + rewriteHelp

// rewriteFlags are those of commands that rewrite checkpoints.
type rewriteFlags struct {
	sourceFlags

	all, takeAway, dryRun, anyGroup bool
	to, fromBlob                    string
}

func (f *rewriteFlags) define(flags *pflag.FlagSet) {
	flags.BoolVar(&f.takeAway, "take-away", false, "take partitions that are owned away from their owners")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be done, and do nothing")
}

func (f *rewriteFlags) definePosition(flags *pflag.FlagSet) {
	flags.StringVar(&f.to, "to", "", "`position`: earliest, latest, a time (RFC 3339), sequence:N or offset:TEXT")
	f.sourceFlags.define(flags, "latest and times")
}

func (a *app) rewriting() []*cobra.Command {
	var reset, deleted, imported rewriteFlags
	var exported exportFlags
	resetting := &cobra.Command{
		Use: "reset GROUP [PARTITION...] --to POSITION", Short: "Set checkpoints, also back", Long: resetHelp,
		Example: "  tenure checkpoint reset orders/billing 7 --to sequence:812 --dry-run\n" +
			"  tenure checkpoint reset ns.servicebus.windows.net/orders/billing --all --take-away \\\n" +
			"    --source eventhubs --to 2026-05-01T12:00:00Z",
		RunE: func(command *cobra.Command, args []string) error {
			to, err := parsePosition(reset.to)
			if err != nil {
				return err
			}
			return a.rewriteThese(command.Context(), &reset, args, to)
		},
	}
	reset.definePosition(resetting.Flags())
	deleting := &cobra.Command{
		Use: "delete GROUP [PARTITION...]", Short: "Delete checkpoints", Long: deleteHelp,
		Example: "  tenure checkpoint delete orders/billing 7",
		RunE: func(command *cobra.Command, args []string) error {
			return a.rewriteThese(command.Context(), &deleted, args, position{})
		},
	}
	for command, f := range map[*cobra.Command]*rewriteFlags{resetting: &reset, deleting: &deleted} {
		command.Args = named("GROUP")
		command.Annotations = quiet()
		command.Flags().BoolVar(&f.all, "all", false, "all partitions of the group")
		f.define(command.Flags())
	}
	exporting := &cobra.Command{
		Use: "export GROUP [FILE]", Short: "Write checkpoints to a file or to Blob storage", Long: exportHelp,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return exactly("GROUP", "[FILE]")(command, args)
		},
		Annotations: quiet(),
		Example: "  tenure checkpoint export orders/billing billing.jsonl\n" +
			"  tenure checkpoint export ns.servicebus.windows.net/orders/billing \\\n" +
			"    --to-blob https://account.blob.core.windows.net/checkpoints --dry-run",
		RunE: func(command *cobra.Command, args []string) error {
			return a.exportCheckpoints(command.Context(), &exported, args)
		},
	}
	exported.define(exporting.Flags())
	importing := &cobra.Command{
		Use: "import GROUP {FILE | --from-blob URL}", Short: "Set checkpoints to those of a file or of Blob storage",
		Long: importHelp,
		Args: func(command *cobra.Command, args []string) error {
			if imported.fromBlob != "" {
				return exactly("GROUP")(command, args)
			}
			return exactly("GROUP", "FILE")(command, args)
		},
		Annotations: quiet(),
		Example: "  tenure checkpoint import orders/billing billing.jsonl --dry-run\n" +
			"  tenure checkpoint import ns.servicebus.windows.net/orders/billing \\\n" +
			"    --from-blob https://account.blob.core.windows.net/checkpoints --dry-run",
		RunE: func(command *cobra.Command, args []string) error {
			return a.importCheckpoints(command.Context(), &imported, args)
		},
		DisableFlagsInUseLine: true,
	}
	imported.define(importing.Flags())
	importing.Flags().StringVar(&imported.fromBlob, "from-blob", "",
		"take the checkpoints from the container with this `URL`, where the Event Hubs clients keep them")
	importing.Flags().BoolVar(&imported.anyGroup, "any-group", false, "take checkpoints of other groups for this one's")
	return []*cobra.Command{resetting, deleting, exporting, importing}
}

// named demands the first argument, and leaves the others to the command.
func named(name string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return exactly(name)(command, args)
	}
}

// rewriteThese sets the checkpoints of the partitions that are named to one position, or deletes them.
func (a *app) rewriteThese(ctx context.Context, f *rewriteFlags, args []string, to position) error {
	if f.all == (len(args) > 1) {
		return &problem.Error{Kind: problem.Usage, What: "name partitions, or give --all for all that the group has",
			Do: "See: tenure partition list " + args[0]}
	}
	return a.steer(ctx, args[0], &steerFlags{}, func(s *steering) error {
		snapshot := s.mirror.Snapshot()
		ids := args[1:]
		if f.all {
			for _, p := range inspect.Partitions(snapshot) {
				ids = append(ids, p.ID)
			}
		} else if err := s.checkPartitions(ids); err != nil {
			return err
		}
		wanted, err := a.positions(ctx, f, snapshot.Group, ids, to)
		if err != nil {
			return err
		}
		// As it is now: the stream may have taken its time, and owners renew their claims.
		return s.rewrite(f, s.mirror.Snapshot(), wanted)
	})
}

// rewrite sets checkpoints, those that are not as they are to be, or shows what it would do.
func (s *steering) rewrite(f *rewriteFlags, since *etcdstore.Snapshot, wanted []etcdstore.Checkpoint) error {
	var changes []etcdstore.Checkpoint
	for _, c := range wanted {
		if !isSo(c, since) {
			changes = append(changes, c)
		}
	}
	if f.dryRun {
		return s.showRewrites(f, since, wanted)
	}
	bounded, cancel := context.WithTimeout(s.ctx, readLimit)
	defer cancel()
	options := &etcdstore.RewriteOptions{TakeAway: f.takeAway, Progress: func(done int) {
		if len(changes) > done {
			_, _ = fmt.Fprintf(s.stderr, "%d of %d checkpoints are written\n", done, len(changes))
		}
	}}
	if err := s.store.RewriteCheckpoints(bounded, since, changes, options); err != nil {
		return explainRewrite(err)
	}
	return s.sayf("%s written, %d were so already", screen.Count(len(changes), "checkpoint was", "checkpoints were"),
		len(wanted)-len(changes))
}

func explainRewrite(err error) error {
	switch {
	case errors.Is(err, etcdstore.ErrOwned):
		return &problem.Error{What: "nothing was done", Err: err, Do: "Pause them first: tenure partition pause GROUP " +
			"PARTITION... Or take them away from their owners with --take-away."}
	case errors.Is(err, etcdstore.ErrCheckpointConflict):
		return &problem.Error{What: "something has changed meanwhile", Err: err,
			Do: "Look again, and give the command again: what was done is not done twice."}
	}
	return err
}

// isSo reports whether a checkpoint stands where it is to stand. One that cannot be read does not.
func isSo(a etcdstore.Checkpoint, s *etcdstore.Snapshot) bool {
	for key := range s.Corrupt {
		if strings.HasSuffix(key, "/checkpoint/"+url.PathEscape(a.PartitionID)) {
			return false
		}
	}
	return inspect.SamePosition(a, s.Checkpoints[a.PartitionID])
}

// showRewrites shows what would be done.
func (s *steering) showRewrites(f *rewriteFlags, since *etcdstore.Snapshot, wanted []etcdstore.Checkpoint) error {
	t := inspect.Table{Head: []string{"PARTITION", "NOW", "THEN", "OWNER", "WHAT WOULD BE DONE"}}
	for _, c := range wanted {
		now, owner, what := since.Checkpoints[c.PartitionID], since.Ownerships[c.PartitionID].OwnerID, "set"
		if c.SequenceNumber == nil && c.Offset == nil {
			what = "deleted"
		}
		switch {
		case isSo(c, since):
			what = "nothing"
		case owner != "" && f.takeAway:
			what += ", and taken away"
		case owner != "":
			what = "refused: it is owned"
		}
		t.Add(c.PartitionID, positionWords(now), positionWords(c), orNobody(owner), what)
	}
	var page inspect.Page
	page.Table(t)
	return s.print(&page)
}

func positionWords(c etcdstore.Checkpoint) string {
	var words []string
	if c.SequenceNumber != nil {
		words = append(words, fmt.Sprintf("sequence:%d", *c.SequenceNumber))
	}
	if c.Offset != nil {
		words = append(words, "offset:"+*c.Offset)
	}
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, " ")
}
