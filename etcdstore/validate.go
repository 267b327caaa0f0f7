package etcdstore

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxRecordBytes bounds key and value of one record together. etcd takes requests of 1.5 MiB unless told otherwise, and a
// request carries more than one record.
const maxRecordBytes = 256 << 10

// validText refuses what JSON cannot hold: a string that is not UTF-8 would come back changed.
func validText(field, s string) error {
	if !utf8.ValidString(s) {
		return &ArgumentError{Field: field, Value: s, Want: "valid UTF-8"}
	}
	return nil
}

// validName refuses what cannot be a segment of a key.
func validName(field, s string) error {
	if s == "" {
		return &ArgumentError{Field: field, Value: s, Want: "a non-empty string"}
	}
	return validText(field, s)
}

// validateGroup reports everything that is wrong with a group.
func validateGroup(g Group) error { return validateGroupAt("", g) }

func validateGroupAt(path string, g Group) error {
	return errors.Join(
		validName(path+"FullyQualifiedNamespace", g.FullyQualifiedNamespace),
		validName(path+"EventHubName", g.EventHubName),
		validName(path+"ConsumerGroup", g.ConsumerGroup),
	)
}

// validateOwnerships reports everything that is wrong with the claims of one call. An empty owner id is right: it
// relinquishes. So is any etag: a malformed one loses.
func (k keyspace) validateOwnerships(ownerships []Ownership, reason string) error {
	type partition struct {
		Group
		id string
	}
	problems := []error{validText("ClaimOptions.Reason", reason)}
	first := make(map[partition]int, len(ownerships))
	for i, o := range ownerships {
		path := fmt.Sprintf("ownerships[%d].", i)
		problems = append(problems,
			validateGroupAt(path, o.Group),
			validName(path+"PartitionID", o.PartitionID),
			validText(path+"OwnerID", o.OwnerID))
		p := partition{o.Group, o.PartitionID}
		if j, ok := first[p]; ok {
			problems = append(problems, &ArgumentError{
				Field: path + "PartitionID", Value: o.PartitionID,
				Want: fmt.Sprintf("each partition once (ownerships[%d] names it too)", j),
			})
			continue
		}
		first[p] = i
		record := ownershipRecord{OwnerID: o.OwnerID, Reason: reason}
		problems = append(problems, k.validSize(path[:len(path)-1], o.Group, kindOwnership, o.PartitionID, record.encode()))
	}
	return errors.Join(problems...)
}

// validateCheckpoint reports everything that is wrong with a checkpoint.
func (k keyspace) validateCheckpoint(c Checkpoint) error {
	const path = "checkpoint."
	problems := []error{
		validateGroupAt(path, c.Group),
		validName(path+"PartitionID", c.PartitionID),
		validText(path+"OwnerID", c.OwnerID),
	}
	if c.Offset == nil && c.SequenceNumber == nil {
		problems = append(problems, &ArgumentError{
			Field: path + "Offset", Want: "an offset or a sequence number: the checkpoint has neither",
		})
	}
	if c.Offset != nil {
		problems = append(problems, validText(path+"Offset", *c.Offset))
	}
	record := checkpointRecord{SequenceNumber: c.SequenceNumber, Offset: c.Offset, OwnerID: c.OwnerID}
	problems = append(problems, k.validSize("checkpoint", c.Group, kindCheckpoint, c.PartitionID, record.encode()))
	return errors.Join(problems...)
}

// validSize refuses a record that is too large. What the store itself adds to it is small and not counted.
func (k keyspace) validSize(field string, g Group, kd kind, name string, value []byte) error {
	size := len(k.key(g, kd, name)) + len(value)
	if size <= maxRecordBytes {
		return nil
	}
	return &ArgumentError{
		Field: field, Value: g.String() + "/" + string(kd) + "/" + name,
		Want: fmt.Sprintf("a record of at most %d bytes, key and value together, not %d", maxRecordBytes, size),
	}
}
