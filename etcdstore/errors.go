package etcdstore

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

var (
	// ErrOwnershipLost means that etcd refused a write because the ownership under which it was sent has gone to
	// somebody else, or to nobody. Nothing was written. The caller no longer owns the partition and must stop handling
	// its events.
	ErrOwnershipLost = errors.New("ownership lost")

	// ErrCheckpointConflict means that the ownership still holds but the checkpoint is not the one that its owner last
	// read or wrote: somebody wrote it without a fence. Nothing was written. The caller should read the checkpoint and
	// go on from there.
	ErrCheckpointConflict = errors.New("checkpoint changed by another writer")

	// ErrOutcomeUnknown means that a request may or may not have been applied, or may be applied yet, and that it could
	// not be settled before the caller's context ended.
	ErrOutcomeUnknown = errors.New("outcome unknown")

	// ErrCorruptRecord means that a stored record cannot be read. The detail is a [RecordError].
	ErrCorruptRecord = errors.New("corrupt record")

	// ErrNoKeeper means that the store was made without a lease keeper and so can read and write checkpoints but not
	// claim.
	ErrNoKeeper = errors.New("store has no lease keeper and cannot claim")

	// ErrClosed means that the store has been closed.
	ErrClosed = errors.New("store is closed")

	// ErrInvalidArgument means that a call was refused before anything was sent. The detail is an [ArgumentError], or
	// several of them joined.
	ErrInvalidArgument = errors.New("invalid argument")
)

// RecordError names a stored record that cannot be read, and why. It is an [ErrCorruptRecord].
type RecordError struct {
	// Key is the record's key in etcd.
	Key string

	// ETag is the record's ModRevision in decimal, so that it can be replaced or removed by compare.
	ETag string

	// Field is the field at fault, and Value its text as stored. Field is empty when the value as a whole cannot be
	// read; Value is then the whole of it.
	Field, Value string

	// Err is the reason.
	Err error
}

func (e *RecordError) Error() string {
	detail := &fieldError{Field: e.Field, Value: e.Value, Err: e.Err}
	return fmt.Sprintf("%v %s at revision %s: %v", ErrCorruptRecord, quote(e.Key), e.ETag, detail)
}

// Is reports whether target is [ErrCorruptRecord].
func (e *RecordError) Is(target error) bool { return target == ErrCorruptRecord }

func (e *RecordError) Unwrap() error { return e.Err }

// newRecordError adds to a decoder's error which record it was.
func newRecordError(key string, modRevision int64, err error) *RecordError {
	record := &RecordError{Key: key, ETag: strconv.FormatInt(modRevision, 10), Err: err}
	if field, ok := errors.AsType[*fieldError](err); ok {
		record.Field, record.Value, record.Err = field.Field, field.Value, field.Err
	}
	return record
}

// ArgumentError names an argument that a call cannot be made with. It is an [ErrInvalidArgument].
type ArgumentError struct {
	// Field is the argument at fault as a Go path, such as "ownerships[2].PartitionID".
	Field string

	// Value is what was given.
	Value string

	// Want says what would be right.
	Want string
}

func (e *ArgumentError) Error() string {
	return fmt.Sprintf("%v: %s is %s, want %s", ErrInvalidArgument, e.Field, quote(e.Value), e.Want)
}

// Is reports whether target is [ErrInvalidArgument].
func (e *ArgumentError) Is(target error) bool { return target == ErrInvalidArgument }

// fieldError is what is wrong in a key or a value, before it is known whose it is.
type fieldError struct {
	Field, Value string
	Err          error
}

func (e *fieldError) Error() string {
	switch {
	case e.Field == "":
		return fmt.Sprintf("%v: %s", e.Err, quote(e.Value))
	case e.Value == "":
		return fmt.Sprintf("%s: %v", e.Field, e.Err)
	}
	return fmt.Sprintf("%s is %s: %v", e.Field, quote(e.Value), e.Err)
}

func (e *fieldError) Unwrap() error { return e.Err }

// maxShown is how many bytes of a value an error message shows.
const maxShown = 128

// quote makes any value safe to show in one line of a log.
func quote(s string) string {
	if len(s) <= maxShown {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%s… (%d bytes)", strconv.Quote(clip(s)), len(s))
}

// clip cuts s to what a message shows, never within a character.
func clip(s string) string {
	if len(s) <= maxShown {
		return s
	}
	end := maxShown
	for end > maxShown-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
