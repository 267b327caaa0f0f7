package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/etcdstore"
)

// position is where a checkpoint is to stand.
type position struct {
	sequence *int64
	offset   *string
}

// parsePosition reads what --to takes.
func parsePosition(text string) (position, error) {
	word, value, both := strings.Cut(text, ":")
	wrong := func(what string) error {
		return &problem.Error{Kind: problem.Usage, What: what,
			Do: "Write sequence:N or offset:TEXT, each as the last event that counts as handled."}
	}
	switch {
	case text == "":
		return position{}, wrong("--to is needed: where the checkpoints are to stand")
	case word == "offset" && both:
		return position{offset: &value}, nil
	case word == "sequence" && both:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return position{}, wrong(fmt.Sprintf("--to is %q, and %q is no integer of 64 bits", text, value))
		}
		return position{sequence: &n}, nil
	}
	return position{}, wrong(fmt.Sprintf("--to is %q", text))
}

// of returns the checkpoint of a partition that stands there.
func (p position) of(group etcdstore.Group, partition string) etcdstore.Checkpoint {
	return etcdstore.Checkpoint{
		Group: group, PartitionID: partition, OwnerID: operator(), SequenceNumber: p.sequence, Offset: p.offset,
	}
}
