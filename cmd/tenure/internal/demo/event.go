package demo

import (
	"strconv"
)

// event is a line that a member prints.
type event struct {
	Partition      string `json:"partition"`
	SequenceNumber int    `json:"sequence_number"`
	Body           string `json:"body"`
}

// partition returns the partition's number and whether there is such a one.
func (e event) partition() (partition int, known bool) {
	p, err := strconv.Atoi(e.Partition)
	return p, err == nil && p >= 0 && p < partitions && e.Partition == partitionID(p) && e.SequenceNumber >= 0
}
