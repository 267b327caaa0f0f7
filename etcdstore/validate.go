package etcdstore

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// maxRecordBytes bounds key and value of one record together. etcd takes requests of 1.5 MiB unless told otherwise, and
// a request carries more than one record.
const maxRecordBytes = 256 << 10

// validateGroup reports everything that is wrong with a group.
func validateGroup(g Group) error {
	p := problems{path: "group"}
	p.group(g)
	return errors.Join(p.all...)
}

// validateOwnerships reports everything that is wrong with the ownerships of one call. An empty owner id is right: it
// relinquishes. So is any etag: a malformed one loses.
func (k keyspace) validateOwnerships(ownerships []Ownership, reason string) error {
	p := problems{path: "ClaimOptions"}
	p.text("Reason", reason)
	type partition struct {
		Group

		id string
	}
	seen := make(map[partition]int, len(ownerships))
	for i, o := range ownerships {
		p.path, p.index = "ownerships", i+1
		p.group(o.Group)
		p.name("PartitionID", o.PartitionID)
		p.text("OwnerID", o.OwnerID)
		if first, ok := seen[partition{o.Group, o.PartitionID}]; ok {
			p.add("PartitionID", o.PartitionID, fmt.Sprintf("each partition once, and ownerships[%d] names it too", first))
			continue
		}
		seen[partition{o.Group, o.PartitionID}] = i
		if len(k.prefix)+maxGrowth*(o.bytes()+len(o.PartitionID)+len(o.OwnerID)+len(reason))+ownBytes > maxRecordBytes {
			record := ownershipRecord{OwnerID: o.OwnerID, Reason: reason}
			p.size(k.key(o.Group, kindOwnership, o.PartitionID), record.encode())
		}
	}
	return errors.Join(p.all...)
}

// validateCheckpoint reports everything that is wrong with a checkpoint.
func (k keyspace) validateCheckpoint(c Checkpoint) error {
	p := problems{path: "checkpoint"}
	p.group(c.Group)
	p.name("PartitionID", c.PartitionID)
	p.text("OwnerID", c.OwnerID)
	var offset string
	if c.Offset != nil {
		offset = *c.Offset
	}
	p.text("Offset", offset)
	if c.Offset == nil && c.SequenceNumber == nil {
		p.add("Offset", "", "an offset or a sequence number; the checkpoint has neither")
	}
	if len(k.prefix)+maxGrowth*(c.bytes()+len(c.PartitionID)+len(c.OwnerID)+len(offset))+ownBytes > maxRecordBytes {
		record := checkpointRecord{SequenceNumber: c.SequenceNumber, Offset: c.Offset, OwnerID: c.OwnerID}
		p.size(k.key(c.Group, kindCheckpoint, c.PartitionID), record.encode())
	}
	return errors.Join(p.all...)
}

// A record's size is worked out only where this bound on it is too large: checkpoints are checked tens of thousands of
// times a second.
const (
	maxGrowth = len(`\u0000`) // what one byte can become in JSON, which is more than in a key
	ownBytes  = 512           // more than all names of fields, the time and the nonce
)

func (g Group) bytes() int {
	return len(g.FullyQualifiedNamespace) + len(g.EventHubName) + len(g.ConsumerGroup)
}

// problems collects everything that is wrong with the arguments of one call.
type problems struct {
	path  string // the argument that is looked at
	index int    // which of several, counted from one; 0 where there is one
	all   []error
}

func (p *problems) add(field, value, want string) {
	path := p.path
	if p.index > 0 {
		path += "[" + strconv.Itoa(p.index-1) + "]"
	}
	p.all = append(p.all, &ArgumentError{Field: path + "." + field, Value: value, Want: want})
}

// text refuses what JSON cannot hold: a string that is not UTF-8 would come back changed.
func (p *problems) text(field, value string) {
	if !utf8.ValidString(value) {
		p.add(field, value, "valid UTF-8")
	}
}

// name refuses what cannot be a segment of a key.
func (p *problems) name(field, value string) {
	if value == "" {
		p.add(field, value, "a non-empty string")
	}
	p.text(field, value)
}

func (p *problems) group(g Group) {
	p.name("FullyQualifiedNamespace", g.FullyQualifiedNamespace)
	p.name("EventHubName", g.EventHubName)
	p.name("ConsumerGroup", g.ConsumerGroup)
}

// size refuses a record that is too large. What the store adds to a value itself is small and not counted.
func (p *problems) size(key string, value []byte) {
	if size := len(key) + len(value); size > maxRecordBytes {
		p.add("PartitionID", key, fmt.Sprintf("key and value of at most %d bytes together, not %d", maxRecordBytes, size))
	}
}
