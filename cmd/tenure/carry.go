package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/cmd/tenure/internal/transfer"
	"github.com/tenure-go/tenure/etcdstore"
)

const exportHelp = `Write a group's checkpoints as lines of JSON, to a file or to standard output. "tenure checkpoint
import" reads them. It is one revision of etcd: nothing in it is newer than the rest.

With --to-blob they are written to a container of Azure Blob storage, for the Event Hubs clients to go
on from: those for .NET, Java, JavaScript and Python, which name their blobs in lower case, or with
--exact-names the one for Go, which names them as it is told to. Stop the fleet first; docs/blob-storage.md
has the steps.
` + blobHelp

const importHelp = `Set a group's checkpoints to those of a file, or of standard input with -, as "tenure checkpoint
export" writes them. Partitions that are not in the file keep theirs. A file with a wrong line changes
nothing, and all wrong lines are named.

With --from-blob they are those that the Event Hubs clients for Go, .NET, Java, JavaScript and Python
keep in a container of Azure Blob storage, which is only read. Stop the fleet that uses it first:
docs/blob-storage.md has the steps.
` + blobHelp + rewriteHelp

const blobHelp = `
A container is given by its URL, with a SAS token or without. Without one the key in
AZURE_STORAGE_CONNECTION_STRING is used, and without that this machine's Azure identity.
`

// exportFlags are those of checkpoint export.
type exportFlags struct {
	toBlob             string
	dryRun, exactNames bool
}

func (f *exportFlags) define(flags *pflag.FlagSet) {
	flags.StringVar(&f.toBlob, "to-blob", "",
		"write to the container with this `URL`, where the Event Hubs clients keep their checkpoints")
	flags.BoolVar(&f.exactNames, "exact-names", false,
		"name blobs as GROUP is written, for the Go client, instead of in lower case")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be written to the container, and write nothing")
}

func (a *app) exportCheckpoints(ctx context.Context, f *exportFlags, args []string) error {
	switch {
	case f.toBlob != "" && len(args) > 1:
		return &problem.Error{Kind: problem.Usage, What: "FILE and --to-blob exclude each other"}
	case f.toBlob == "" && (f.dryRun || f.exactNames):
		return &problem.Error{Kind: problem.Usage, What: "--dry-run and --exact-names are for --to-blob"}
	case f.toBlob != "":
		return a.exportToBlob(ctx, f, args[0])
	}
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

func (a *app) importCheckpoints(ctx context.Context, f *rewriteFlags, args []string) error {
	group, err := readGroup(args[0])
	if err != nil {
		return err
	}
	var wanted []etcdstore.Checkpoint
	if f.fromBlob != "" {
		wanted, err = a.readBlobs(ctx, f, group)
	} else {
		wanted, err = readFile(args[1], group, f.anyGroup)
	}
	if err != nil {
		return err
	}
	return a.withMirror(ctx, args[0], func(store *etcdstore.Store, mirror *etcdstore.Mirror) error {
		s := &steering{a, ctx, &steerFlags{}, store, mirror, group}
		return s.rewrite(f, mirror.Snapshot(), wanted)
	})
}

// readFile reads the checkpoints of a file.
func readFile(name string, group etcdstore.Group, anyGroup bool) (_ []etcdstore.Checkpoint, err error) {
	file := io.NopCloser(io.Reader(os.Stdin))
	if name != "-" {
		if file, err = os.Open(name); err != nil { //nolint:gosec // Whoever gives the command may read it or not.
			return nil, &problem.Error{Kind: problem.Usage, What: "FILE cannot be read", Err: err}
		}
	}
	wanted, err := transfer.Read(file, group, anyGroup)
	_ = file.Close() // Nothing was written to it.
	if err != nil {
		return nil, &problem.Error{Kind: problem.Usage, Err: err,
			What: name + " is no file of this group's checkpoints, and nothing was done",
			Do:   "Write them with: tenure checkpoint export. Those of another group need --any-group."}
	}
	return wanted, nil
}
