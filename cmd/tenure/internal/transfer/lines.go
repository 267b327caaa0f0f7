package transfer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/etcdstore"
)

// line is a checkpoint as it stands in a file.
type line struct {
	Group            string    `json:"group"`
	Partition        string    `json:"partition"`
	SequenceNumber   *int64    `json:"sequence_number,omitempty"`
	Offset           *string   `json:"offset,omitempty"`
	OwnerID          string    `json:"owner_id,omitempty"`
	LastModifiedTime time.Time `json:"last_modified_time,omitzero"`
}

// Write writes checkpoints, sorted as people count.
func Write(w io.Writer, s *etcdstore.Snapshot) error {
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	ids := make([]string, 0, len(s.Checkpoints))
	for id := range s.Checkpoints {
		ids = append(ids, id)
	}
	for _, id := range inspect.InOrder(ids) {
		c := s.Checkpoints[id]
		if err := encoder.Encode(line{
			s.Group.String(), id, c.SequenceNumber, c.Offset, c.OwnerID, c.LastModifiedTime,
		}); err != nil {
			return fmt.Errorf("write a checkpoint: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the checkpoints: %w", err)
	}
	return nil
}

// LineError names a line that is no checkpoint, and why.
type LineError struct {
	Line int // from 1 on
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }
func (e *LineError) Unwrap() error { return e.Err }

// maxLine is the longest line: a record has 256 KiB at the most, and JSON may escape each byte with six.
const maxLine = 2 << 20

// Read reads a file of checkpoints of a group, or of any other group's to be taken for this one's. The error joins a
// [LineError] for each line that is wrong, up to twenty of them.
func Read(r io.Reader, group etcdstore.Group, anyGroup bool) ([]etcdstore.Checkpoint, error) {
	var all []etcdstore.Checkpoint
	var wrong []error
	const enough = 20
	seen := make(map[string]int)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	number := 0
	for lines.Scan() && len(wrong) < enough {
		number++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		c, err := parse(lines.Bytes(), group, anyGroup)
		if before := seen[c.PartitionID]; err == nil && before > 0 {
			err = fmt.Errorf("partition %q stands in line %d already", c.PartitionID, before)
		}
		if err != nil {
			wrong = append(wrong, &LineError{number, err})
			continue
		}
		seen[c.PartitionID] = number
		all = append(all, c)
	}
	if err := lines.Err(); err != nil {
		wrong = append(wrong, &LineError{number + 1, err})
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return all, nil
}

func parse(text []byte, group etcdstore.Group, anyGroup bool) (etcdstore.Checkpoint, error) {
	var l line
	if !utf8.Valid(text) {
		return etcdstore.Checkpoint{}, errors.New("not valid UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return etcdstore.Checkpoint{}, fmt.Errorf("no checkpoint: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return etcdstore.Checkpoint{}, errors.New("something follows the object")
	}
	named, err := etcdstore.ParseGroup(l.Group)
	switch {
	case err != nil:
		return etcdstore.Checkpoint{}, fmt.Errorf("no checkpoint: %w", err)
	case named != group && !anyGroup:
		return etcdstore.Checkpoint{}, fmt.Errorf("it is one of %s, and not of %s", named, group)
	case l.Partition == "":
		return etcdstore.Checkpoint{}, errors.New("partition is missing")
	case l.SequenceNumber == nil && l.Offset == nil:
		return etcdstore.Checkpoint{}, errors.New("it has neither sequence_number nor offset")
	}
	return etcdstore.Checkpoint{
		Group: group, PartitionID: l.Partition, OwnerID: l.OwnerID, SequenceNumber: l.SequenceNumber, Offset: l.Offset,
	}, nil
}
