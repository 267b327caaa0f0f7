package etcdstore

import (
	"errors"
	"time"
)

// The fields of the records, by their names on the wire.
const (
	fieldClaimID          = "claim_id"
	fieldLastModifiedTime = "last_modified_time"
	fieldOffset           = "offset"
	fieldOwnerID          = "owner_id"
	fieldPreviousOwner    = "previous_owner"
	fieldReason           = "reason"
	fieldSequenceNumber   = "sequence_number"
	fieldWriteID          = "write_id"
)

// ownershipRecord is the value of an ownership key. Its strings must be valid UTF-8 (validText).
type ownershipRecord struct {
	OwnerID          string
	LastModifiedTime time.Time
	ClaimID          string // a nonce that settles unknown outcomes
	PreviousOwner    string
	Reason           string
}

func (r ownershipRecord) encode() []byte {
	var o objectWriter
	o.text(fieldOwnerID, r.OwnerID)
	o.time(fieldLastModifiedTime, r.LastModifiedTime)
	o.optional(fieldClaimID, r.ClaimID)
	o.optional(fieldPreviousOwner, r.PreviousOwner)
	o.optional(fieldReason, r.Reason)
	return o.end()
}

// decodeOwnership reads an ownership's value. The error is a *fieldError.
func decodeOwnership(value []byte) (ownershipRecord, error) {
	var r ownershipRecord
	fields := []field{
		{name: fieldOwnerID, into: &r.OwnerID},
		{name: fieldLastModifiedTime, into: &r.LastModifiedTime},
		{name: fieldClaimID, into: &r.ClaimID},
		{name: fieldPreviousOwner, into: &r.PreviousOwner},
		{name: fieldReason, into: &r.Reason},
	}
	if err := readObject(value, fields); err != nil {
		return ownershipRecord{}, err
	}
	if !fields[0].found {
		return ownershipRecord{}, &fieldError{Field: fieldOwnerID, Err: errors.New("missing")}
	}
	return r, nil
}

// checkpointRecord is the value of a checkpoint key. Its strings must be valid UTF-8 (validText).
type checkpointRecord struct {
	SequenceNumber   *int64
	Offset           *string
	OwnerID          string
	LastModifiedTime time.Time
	WriteID          string // a nonce that settles unknown outcomes
}

func (r checkpointRecord) encode() []byte {
	var o objectWriter
	if r.SequenceNumber != nil {
		o.sequenceNumber(fieldSequenceNumber, *r.SequenceNumber)
	}
	if r.Offset != nil {
		o.offset(fieldOffset, *r.Offset)
	}
	o.optional(fieldOwnerID, r.OwnerID)
	o.time(fieldLastModifiedTime, r.LastModifiedTime)
	o.optional(fieldWriteID, r.WriteID)
	return o.end()
}

// decodeCheckpoint reads a checkpoint's value. The error is a *fieldError.
func decodeCheckpoint(value []byte) (checkpointRecord, error) {
	var r checkpointRecord
	err := readObject(value, []field{
		{name: fieldSequenceNumber, into: &r.SequenceNumber},
		{name: fieldOffset, into: &r.Offset},
		{name: fieldOwnerID, into: &r.OwnerID},
		{name: fieldLastModifiedTime, into: &r.LastModifiedTime},
		{name: fieldWriteID, into: &r.WriteID},
	})
	if err != nil {
		return checkpointRecord{}, err
	}
	if r.SequenceNumber == nil && r.Offset == nil {
		return checkpointRecord{}, &fieldError{Value: string(value), Err: errors.New("neither offset nor sequence_number")}
	}
	return r, nil
}
