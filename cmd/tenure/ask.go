package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tenure-go/tenure/cmd/tenure/internal/consume"
	"github.com/tenure-go/tenure/cmd/tenure/internal/filestream"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/etcdstore"
)

// ask asks a stream for the last event of a partition before a time, or with none for its last.
type ask func(ctx context.Context, partition string, at time.Time) (position, error)

// askStream returns how the stream is asked that --source names, and what ends that.
func (a *app) askStream(ctx context.Context, f *rewriteFlags, group etcdstore.Group) (ask, func(), error) {
	path, files := strings.CutPrefix(f.source, sourceFiles)
	switch {
	case files:
		return a.askFiles(path)
	case f.source == sourceHub:
		return a.askHub(ctx, f, group)
	}
	return nil, nil, &problem.Error{Kind: problem.Usage,
		What: "--to " + f.to + " is for the stream to tell, and --source does not say which it is",
		Do:   "Give --source eventhubs, or --source files:DIR."}
}

func (a *app) askFiles(path string) (ask, func(), error) {
	folder, err := filestream.Open(path, a.log)
	if err != nil {
		return nil, nil, &problem.Error{Kind: problem.Usage, What: "--source files:" + path, Err: err}
	}
	return func(ctx context.Context, id string, at time.Time) (position, error) {
		if !at.IsZero() {
			return position{}, &problem.Error{Kind: problem.Usage, What: "lines of files have no time",
				Do: "Give --to as earliest, latest or sequence:N, which counts lines from 0."}
		}
		line, offset, err := folder.End(ctx, id)
		found := position{sequence: &line}
		if line >= 0 {
			text := strconv.FormatInt(offset, 10)
			found.offset = &text
		}
		return found, err
	}, func() {}, nil
}

func (a *app) askHub(ctx context.Context, f *rewriteFlags, group etcdstore.Group) (ask, func(), error) {
	hub := consume.Hub{EventHub: group.EventHubName, ConsumerGroup: group.ConsumerGroup}
	secret, err := a.connectionString(&consumeFlags{connectionStringFile: f.connectionStringFile})
	if err != nil {
		return nil, nil, err
	}
	if hub.ConnectionString = secret; secret == "" {
		hub.Namespace = group.FullyQualifiedNamespace
	}
	client, err := hub.Client()
	if err != nil {
		return nil, nil, err
	}
	done := func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
		defer cancel()
		_ = client.Close(closing) // Nothing was written to it.
	}
	of, want := client.Group.Fold().FullyQualifiedNamespace, group.FullyQualifiedNamespace
	if of == want {
		err = client.Check(ctx, a.log)
	} else {
		err = &problem.Error{Kind: problem.Usage,
			What: fmt.Sprintf("the connection string is for %s, and the group of %s", of, want)}
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return func(ctx context.Context, id string, at time.Time) (position, error) {
		sequence, offset, err := client.Past(ctx, id, at)
		if err != nil {
			err = fmt.Errorf("partition %s: %w", id, err)
		}
		return position{sequence: &sequence, offset: offset}, err
	}, done, nil
}
