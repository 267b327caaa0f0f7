package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/etcdstore"
)

// position is where a checkpoint is to stand. The zero value is none: it is deleted.
type position struct {
	sequence *int64
	offset   *string

	ask bool      // the stream is to be asked, for the last event before
	at  time.Time // this; zero for now
}

// parsePosition reads what --to takes.
func parsePosition(text string) (position, error) {
	word, value, both := strings.Cut(text, ":")
	wrong := func(what string) error {
		return &problem.Error{Kind: problem.Usage, What: what, Do: "Write earliest, latest, a time such as " +
			"2026-05-01T12:00:00Z, or sequence:N or offset:TEXT, the last event that counts as handled."}
	}
	switch {
	case text == "":
		return position{}, wrong("--to is needed: where the checkpoints are to stand")
	case text == "earliest":
		none := int64(-1)
		return position{sequence: &none}, nil
	case text == "latest":
		return position{ask: true}, nil
	case word == "offset" && both:
		return position{offset: &value}, nil
	case word == "sequence" && both:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return position{}, wrong(fmt.Sprintf("--to is %q, and %q is no integer of 64 bits", text, value))
		}
		return position{sequence: &n}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return position{}, wrong(fmt.Sprintf("--to is %q", text))
	}
	return position{ask: true, at: at}, nil
}

// of returns the checkpoint of a partition that stands there.
func (p position) of(group etcdstore.Group, partition string) etcdstore.Checkpoint {
	return etcdstore.Checkpoint{
		Group: group, PartitionID: partition, OwnerID: operator(), SequenceNumber: p.sequence, Offset: p.offset,
	}
}

// positions returns where each partition's checkpoint is to stand. It asks the stream if need be.
func (a *app) positions(
	ctx context.Context, f *rewriteFlags, group etcdstore.Group, ids []string, to position,
) ([]etcdstore.Checkpoint, error) {
	wanted := make([]etcdstore.Checkpoint, len(ids))
	if !to.ask {
		for i, id := range ids {
			wanted[i] = to.of(group, id)
		}
		return wanted, nil
	}
	stream, err := a.openStream(ctx, &f.sourceFlags, group, "--to "+f.to)
	if err != nil {
		return nil, err
	}
	defer stream.close()
	return wanted, eachPartition(ctx, ids, func(ctx context.Context, i int, id string) error {
		found, err := stream.past(ctx, id, to.at)
		wanted[i] = found.of(group, id)
		return err
	})
}
