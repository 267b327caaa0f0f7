package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/cmd/tenure/internal/transfer"
	"github.com/tenure-go/tenure/etcdstore"
)

const exportHelp = `Write a group's checkpoints as lines of JSON, to a file or to standard output. "tenure checkpoint
import" reads them. It is one revision of etcd: nothing in it is newer than the rest.`

const importHelp = `Set a group's checkpoints to those of a file, or of standard input with -, as "tenure checkpoint
export" writes them. Partitions that are not in the file keep theirs. A file with a wrong line changes
nothing, and all wrong lines are named.
` + rewriteHelp

func (a *app) exportCheckpoints(ctx context.Context, args []string) error {
	return a.withGroup(ctx, args[0], func(_ *etcdstore.Store, mirror *etcdstore.Mirror) error {
		s := mirror.Snapshot()
		if len(args) == 1 || args[1] == "-" {
			return transfer.Write(a.stdout, s)
		}
		// Written beside it first: half a file must not be taken for a whole one.
		file, err := os.Create(args[1] + ".part")
		if err != nil {
			return &problem.Error{Kind: problem.Usage, What: "FILE cannot be written", Err: err}
		}
		err = errors.Join(transfer.Write(file, s), file.Sync(), file.Close())
		if err == nil {
			err = os.Rename(file.Name(), args[1])
		}
		if err != nil {
			return errors.Join(fmt.Errorf("write %s: %w", args[1], err), os.Remove(file.Name()))
		}
		_, err = fmt.Fprintf(a.stderr, "%d checkpoints of revision %d are in %s\n", len(s.Checkpoints), s.Revision, args[1])
		return err //nolint:wrapcheck // Standard error is not to be written to.
	})
}

func (a *app) importCheckpoints(ctx context.Context, f *rewriteFlags, groupText, name string) error {
	group, err := readGroup(groupText)
	if err != nil {
		return err
	}
	file := io.NopCloser(io.Reader(os.Stdin))
	if name != "-" {
		if file, err = os.Open(name); err != nil { //nolint:gosec // Whoever gives the command may read it or not.
			return &problem.Error{Kind: problem.Usage, What: "FILE cannot be read", Err: err}
		}
	}
	wanted, err := transfer.Read(file, group, f.anyGroup)
	_ = file.Close() // Nothing was written to it.
	if err != nil {
		return &problem.Error{Kind: problem.Usage, Err: err,
			What: name + " is no file of this group's checkpoints, and nothing was done",
			Do:   "Write them with: tenure checkpoint export. Those of another group need --any-group."}
	}
	return a.withMirror(ctx, groupText, func(store *etcdstore.Store, mirror *etcdstore.Mirror) error {
		s := &steering{a, ctx, &steerFlags{}, store, mirror, group}
		return s.rewrite(f, mirror.Snapshot(), wanted)
	})
}
