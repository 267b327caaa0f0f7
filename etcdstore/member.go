package etcdstore

import (
	"errors"
	"time"
)

// Member is the presence of one consumer in a group, under its lease. Consumers that run the Event Hubs SDK's Processor
// write none.
type Member struct {
	OwnerID   string
	Instance  string // a nonce per process
	Weight    int
	Capacity  int
	Version   int // of its records and its plan
	StartedAt time.Time
}

// decodeMember reads a member's value. The error is a *fieldError.
func decodeMember(value []byte) (Member, error) {
	var m Member
	fields := []field{
		{name: fieldOwnerID, into: &m.OwnerID},
		{name: "instance", into: &m.Instance},
		{name: "weight", into: &m.Weight},
		{name: "capacity", into: &m.Capacity},
		{name: "version", into: &m.Version},
		{name: "started_at", into: &m.StartedAt},
	}
	if err := readObject(value, fields); err != nil {
		return Member{}, err
	}
	if m.OwnerID == "" {
		return Member{}, &fieldError{Field: fieldOwnerID, Err: errors.New("missing")}
	}
	return m, nil
}
