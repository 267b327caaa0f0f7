package etcdstore

import (
	"errors"
	"strconv"
	"time"
)

// Member is the presence of one consumer in a group, under its lease. Consumers that run the Event Hubs SDK's Processor
// write none.
type Member struct {
	OwnerID   string
	Instance  string // a nonce per process
	Weight    int    // its share relative to the others'
	Capacity  int    // how many partitions it takes at the most, 0 for no limit
	Version   int    // of its records and its plan
	StartedAt time.Time
	Leaving   bool // it gives up what it has and takes nothing more
}

// The fields of a member's record that no other record has.
const (
	fieldInstance  = "instance"
	fieldWeight    = "weight"
	fieldCapacity  = "capacity"
	fieldVersion   = "version"
	fieldStartedAt = "started_at"
	fieldLeaving   = "leaving"
)

// validate collects what no record can hold.
func (m Member) validate(p *problems) {
	p.name("OwnerID", m.OwnerID)
	p.name("Instance", m.Instance)
	count := func(field string, n int) {
		if n < 0 || !isSafe(int64(n)) {
			p.add(field, strconv.Itoa(n), "0 to 2^53-1")
		}
	}
	count("Weight", m.Weight)
	count("Capacity", m.Capacity)
	count("Version", m.Version)
}

func (m Member) encode() []byte {
	var o objectWriter
	o.text(fieldOwnerID, m.OwnerID)
	o.text(fieldInstance, m.Instance)
	o.sequenceNumber(fieldWeight, int64(m.Weight))
	o.sequenceNumber(fieldCapacity, int64(m.Capacity))
	o.sequenceNumber(fieldVersion, int64(m.Version))
	o.time(fieldStartedAt, m.StartedAt)
	if m.Leaving {
		o.flag(fieldLeaving)
	}
	return o.end()
}

// decodeMember reads a member's value. The error is a *fieldError.
func decodeMember(value []byte) (Member, error) {
	var m Member
	fields := []field{
		{name: fieldOwnerID, into: &m.OwnerID},
		{name: fieldInstance, into: &m.Instance},
		{name: fieldWeight, into: &m.Weight},
		{name: fieldCapacity, into: &m.Capacity},
		{name: fieldVersion, into: &m.Version},
		{name: fieldStartedAt, into: &m.StartedAt},
		{name: fieldLeaving, into: &m.Leaving},
	}
	if err := readObject(value, fields); err != nil {
		return Member{}, err
	}
	if m.OwnerID == "" {
		return Member{}, &fieldError{Field: fieldOwnerID, Err: errors.New("missing")}
	}
	for _, count := range []struct {
		field string
		n     int
	}{{fieldWeight, m.Weight}, {fieldCapacity, m.Capacity}, {fieldVersion, m.Version}} {
		if count.n < 0 {
			return Member{}, &fieldError{Field: count.field, Value: strconv.Itoa(count.n), Err: errors.New("negative")}
		}
	}
	return m, nil
}
