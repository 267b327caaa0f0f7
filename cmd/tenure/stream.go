package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/tenure-go/tenure/cmd/tenure/internal/consume"
	"github.com/tenure-go/tenure/cmd/tenure/internal/filestream"
	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/etcdstore"
)

// sourceFlags name the stream of a group, for what only that can tell.
type sourceFlags struct{ source, connectionStringFile string }

func (f *sourceFlags) define(flags *pflag.FlagSet, what string) {
	flags.StringVar(&f.source, "source", "", "the stream, for "+what+": eventhubs or files:DIR")
	flags.StringVar(&f.connectionStringFile, "connection-string-file", "",
		"eventhubs: `file` that holds the connection string, if EVENTHUB_CONNECTION_STRING does not")
}

// sourceHelp is what the help of commands with these flags says of them.
const sourceHelp = `With --source eventhubs the connection string comes from EVENTHUB_CONNECTION_STRING or
--connection-string-file; without one this machine's Azure identity is used.`

// stream is what a group consumes.
type stream interface {
	// past returns the last event of a partition before a time, or with none its last.
	past(ctx context.Context, partition string, at time.Time) (position, error)

	// behind returns how many events there are after a checkpoint, all of them if there is none.
	behind(ctx context.Context, partition string, c *etcdstore.Checkpoint) (int64, error)

	close()
}

// askedAtOnce is how many partitions a stream is asked for at a time.
const askedAtOnce = 16

// eachPartition asks for some at a time. An error names the partition.
func eachPartition(ctx context.Context, ids []string, do func(ctx context.Context, i int, id string) error) error {
	asking, ctx := errgroup.WithContext(ctx)
	asking.SetLimit(askedAtOnce)
	for i, id := range ids {
		asking.Go(func() error {
			if err := do(ctx, i, id); err != nil {
				return fmt.Errorf("partition %s: %w", id, err)
			}
			return nil
		})
	}
	return asking.Wait() //nolint:wrapcheck // The error names the partition.
}

// openStream returns the stream that --source names. needed says for what, if there has to be one: nil is returned
// otherwise.
func (a *app) openStream( //nolint:ireturn // There are two kinds of it.
	ctx context.Context, f *sourceFlags, group etcdstore.Group, needed string,
) (stream, error) {
	path, files := strings.CutPrefix(f.source, sourceFiles)
	switch {
	case files:
		folder, err := filestream.Open(path, a.log)
		if err != nil {
			return nil, &problem.Error{Kind: problem.Usage, What: "--source " + f.source, Err: err}
		}
		return fileStream{folder}, nil
	case f.source == sourceHub:
		return a.openHub(ctx, f, group)
	case f.source != "":
		return nil, &problem.Error{Kind: problem.Usage,
			What: fmt.Sprintf("--source must be eventhubs or files:DIR, not %q", f.source)}
	case needed != "":
		return nil, &problem.Error{Kind: problem.Usage,
			What: needed + " is for the stream to tell, and --source does not say which it is",
			Do:   "Give --source eventhubs, or --source files:DIR."}
	}
	return nil, nil //nolint:nilnil // There need not be one.
}

// lagsOf asks a stream how many events each partition of a group is behind.
func lagsOf(ctx context.Context, from stream, s *etcdstore.Snapshot) (map[string]*int64, error) {
	partitions := inspect.Partitions(s)
	ids := make([]string, len(partitions))
	for i, p := range partitions {
		ids[i] = p.ID
	}
	lags := make([]int64, len(ids))
	err := eachPartition(ctx, ids, func(ctx context.Context, i int, id string) (err error) {
		var checkpoint *etcdstore.Checkpoint
		if c, found := s.Checkpoints[id]; found {
			checkpoint = &c
		}
		lags[i], err = from.behind(ctx, id, checkpoint)
		return err
	})
	byID := make(map[string]*int64, len(ids))
	for i, id := range ids {
		byID[id] = &lags[i]
	}
	return byID, err
}

type fileStream struct{ folder *filestream.Folder }

func (s fileStream) past(ctx context.Context, id string, at time.Time) (position, error) {
	if !at.IsZero() {
		return position{}, &problem.Error{Kind: problem.Usage, What: "lines of files have no time",
			Do: "Give --to as earliest, latest or sequence:N, which counts lines from 0."}
	}
	line, offset, err := s.folder.End(ctx, id)
	found := position{sequence: &line}
	if line >= 0 {
		text := strconv.FormatInt(offset, 10)
		found.offset = &text
	}
	return found, err
}

func (s fileStream) behind(ctx context.Context, id string, c *etcdstore.Checkpoint) (int64, error) {
	return consume.FileBehind(ctx, s.folder, id, c)
}

func (fileStream) close() {}

type hubStream struct {
	*consume.Client

	done func()
}

func (a *app) openHub(ctx context.Context, f *sourceFlags, group etcdstore.Group) (hubStream, error) {
	hub := consume.Hub{EventHub: group.EventHubName, ConsumerGroup: group.ConsumerGroup}
	secret, err := a.connectionString(&consumeFlags{connectionStringFile: f.connectionStringFile})
	if err != nil {
		return hubStream{}, err
	}
	if hub.ConnectionString = secret; secret == "" {
		hub.Namespace = group.FullyQualifiedNamespace
	}
	client, err := hub.Client()
	if err != nil {
		return hubStream{}, err
	}
	s := hubStream{client, func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
		defer cancel()
		_ = client.Close(closing) // Nothing was written to it.
	}}
	of, want := client.Group.Fold().FullyQualifiedNamespace, group.FullyQualifiedNamespace
	if of == want {
		err = client.Check(ctx, a.log)
	} else {
		err = &problem.Error{Kind: problem.Usage,
			What: fmt.Sprintf("the connection string is for %s, and the group of %s", of, want)}
	}
	if err != nil {
		s.close()
		return hubStream{}, err
	}
	return s, nil
}

func (s hubStream) past(ctx context.Context, id string, at time.Time) (position, error) {
	sequence, offset, err := s.Past(ctx, id, at)
	return position{sequence: &sequence, offset: offset}, err
}

func (s hubStream) behind(ctx context.Context, id string, c *etcdstore.Checkpoint) (int64, error) {
	return s.Behind(ctx, id, c)
}

func (s hubStream) close() { s.done() }
