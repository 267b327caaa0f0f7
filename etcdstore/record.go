package etcdstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxSafeInteger is the largest integer that every JSON implementation can hold: JavaScript's numbers are doubles.
const maxSafeInteger = 1<<53 - 1

// timeLayout is RFC 3339 with all nine digits of the nanoseconds, so that times sort as text.
const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

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
	found := false
	err := readObject(value, func(field string, raw json.RawMessage) (err error) {
		switch field {
		case fieldOwnerID:
			found = true
			r.OwnerID, err = readText(raw)
		case fieldLastModifiedTime:
			r.LastModifiedTime, err = readTime(raw)
		case fieldClaimID:
			r.ClaimID, err = readText(raw)
		case fieldPreviousOwner:
			r.PreviousOwner, err = readText(raw)
		case fieldReason:
			r.Reason, err = readText(raw)
		}
		return err
	})
	if err == nil && !found {
		err = &fieldError{Field: fieldOwnerID, Err: errors.New("missing")}
	}
	if err != nil {
		return ownershipRecord{}, err
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
	err := readObject(value, func(field string, raw json.RawMessage) (err error) {
		switch field {
		case fieldSequenceNumber:
			r.SequenceNumber, err = readSequenceNumber(raw)
		case fieldOffset:
			r.Offset, err = readOffset(raw)
		case fieldOwnerID:
			r.OwnerID, err = readText(raw)
		case fieldLastModifiedTime:
			r.LastModifiedTime, err = readTime(raw)
		case fieldWriteID:
			r.WriteID, err = readText(raw)
		}
		return err
	})
	if err == nil && r.SequenceNumber == nil && r.Offset == nil {
		err = &fieldError{Value: string(value), Err: errors.New("neither offset nor sequence_number")}
	}
	if err != nil {
		return checkpointRecord{}, err
	}
	return r, nil
}

// objectWriter appends the fields of one JSON object. It is written out because checkpoints are encoded tens of
// thousands of times a second.
type objectWriter struct{ buf []byte }

func (o *objectWriter) name(field string) {
	if o.buf == nil {
		o.buf = append(make([]byte, 0, 256), '{')
	} else {
		o.buf = append(o.buf, ',')
	}
	o.buf = append(o.buf, '"')
	o.buf = append(o.buf, field...)
	o.buf = append(o.buf, '"', ':')
}

func (o *objectWriter) end() []byte { return append(o.buf, '}') }

func (o *objectWriter) text(field, s string) {
	o.name(field)
	o.buf = appendString(o.buf, s)
}

func (o *objectWriter) optional(field, s string) {
	if s != "" {
		o.text(field, s)
	}
}

func (o *objectWriter) time(field string, t time.Time) {
	o.name(field)
	o.buf = append(o.buf, '"')
	o.buf = t.UTC().AppendFormat(o.buf, timeLayout)
	o.buf = append(o.buf, '"')
}

func (o *objectWriter) sequenceNumber(field string, n int64) {
	o.name(field)
	if isSafe(n) {
		o.buf = strconv.AppendInt(o.buf, n, 10)
		return
	}
	o.buf = append(o.buf, '"')
	o.buf = strconv.AppendInt(o.buf, n, 10)
	o.buf = append(o.buf, '"')
}

func (o *objectWriter) offset(field, s string) {
	o.name(field)
	if n, ok := canonicalInteger(s); ok && isSafe(n) {
		o.buf = append(o.buf, s...)
		return
	}
	o.buf = appendString(o.buf, s)
}

// appendString appends s as a JSON string. Only what JSON demands is escaped.
func appendString(buf []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // cannot fail for a string
			return append(buf, quoted...)
		}
	}
	buf = append(buf, '"')
	buf = append(buf, s...)
	return append(buf, '"')
}

func isSafe(n int64) bool { return -maxSafeInteger <= n && n <= maxSafeInteger }

// canonicalInteger reads a decimal integer in the one form that printing it gives back: no sign but a minus, no leading
// zero, no "-0".
func canonicalInteger(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, false
	}
	var digits [20]byte
	return n, string(strconv.AppendInt(digits[:0], n, 10)) == s
}

// readObject calls read for each field of a JSON object that is not null. A field that occurs twice, or whose value read
// refuses, is an error that names it.
func readObject(value []byte, read func(field string, raw json.RawMessage) error) error {
	whole := func(err error) error { return &fieldError{Value: string(value), Err: err} }
	if !utf8.Valid(value) {
		return whole(errors.New("not valid UTF-8"))
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return whole(errors.New("not a JSON object"))
	}
	seen := make(map[string]bool)
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return whole(err)
		}
		field, _ := token.(string)
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return whole(err)
		}
		if seen[field] {
			return &fieldError{Field: field, Value: string(raw), Err: errors.New("given twice")}
		}
		seen[field] = true
		if string(raw) == "null" {
			continue
		}
		if err := read(field, raw); err != nil {
			return &fieldError{Field: field, Value: string(raw), Err: err}
		}
	}
	if _, err := decoder.Token(); err != nil {
		return whole(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return whole(errors.New("something follows the JSON object"))
	}
	return nil
}

func readText(raw json.RawMessage) (string, error) {
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", errors.New("not a string")
	}
	return s, nil
}

func readTime(raw json.RawMessage) (time.Time, error) {
	s, err := readText(raw)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, errors.New("not a time in RFC 3339")
	}
	return t.UTC(), nil
}

func readSequenceNumber(raw json.RawMessage) (*int64, error) {
	if raw[0] != '"' {
		n, err := readInteger(raw)
		return &n, err
	}
	s, err := readText(raw)
	if err != nil {
		return nil, err
	}
	n, ok := canonicalInteger(s)
	if !ok {
		return nil, errors.New("not a decimal integer of 64 bits")
	}
	return &n, nil
}

func readOffset(raw json.RawMessage) (*string, error) {
	if raw[0] != '"' {
		_, err := readInteger(raw)
		s := string(raw)
		return &s, err
	}
	s, err := readText(raw)
	return &s, err
}

// readInteger reads a JSON number that a writer may have written as such. One out of the safe range may have been rounded
// on its way here, and going on from a wrong position would lose events.
func readInteger(raw json.RawMessage) (int64, error) {
	n, ok := canonicalInteger(string(raw))
	switch {
	case !ok:
		return 0, errors.New("neither an integer nor a string")
	case !isSafe(n):
		return 0, errors.New("an integer beyond 2^53-1 has to be a string")
	}
	return n, nil
}
