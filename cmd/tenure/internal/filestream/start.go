package filestream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
)

// scanSize is how much is read at a time where lines are only counted.
const scanSize = 256 << 10

// Start is where following a file begins. The zero value is the file's start.
type Start struct {
	kind         startKind
	offset, line int64
}

type startKind int

const (
	earliest startKind = iota
	latest
	atOffset
	atLine
	after
)

// Earliest is the file's first line.
func Earliest() Start { return Start{} }

// Latest is behind the last line that is complete at that time.
func Latest() Start { return Start{kind: latest} }

// AtOffset is the line that begins at that byte.
func AtOffset(offset int64) Start { return Start{kind: atOffset, offset: offset} }

// AtLine is the line with that number. That of the first line to come counts as there.
func AtLine(number int64) Start { return Start{kind: atLine, line: number} }

// After is behind a line whose number and offset are known, so that no line has to be counted.
func After(number, offset int64) Start { return Start{kind: after, offset: offset, line: number} }

// ParseStart reads earliest, latest, offset:N and sequence:N.
func ParseStart(text string) (Start, error) {
	kind, value, _ := strings.Cut(text, ":")
	number, err := strconv.ParseInt(value, 10, 64)
	switch {
	case text == "earliest":
		return Earliest(), nil
	case text == "latest":
		return Latest(), nil
	case kind != "offset" && kind != "sequence" || err != nil:
		return Start{}, fmt.Errorf("%q is none of earliest, latest, offset:N and sequence:N; lines have no time", text)
	case number < 0:
		return Start{}, fmt.Errorf("%s is before any line: the number must be 0 or more", text)
	case kind == "offset":
		return AtOffset(number), nil
	}
	return AtLine(number), nil
}

// position is the place before a line: its number, and the byte where it begins.
type position struct{ line, offset int64 }

// find returns the position in the file.
func (s Start) find(ctx context.Context, file *os.File) (position, error) {
	switch s.kind {
	case latest:
		return count(ctx, file, position{}, math.MaxInt64, math.MaxInt64)
	case atLine:
		found, err := count(ctx, file, position{}, s.line, math.MaxInt64)
		if err == nil && found.line < s.line {
			err = fmt.Errorf("%s has only %d lines: there is no line %d to begin at", file.Name(), found.line, s.line)
		}
		return found, err
	case atOffset:
		found, err := count(ctx, file, position{}, math.MaxInt64, s.offset)
		if err == nil && found.offset != s.offset {
			err = fmt.Errorf("no line of %s begins at byte %d; one begins at byte %d", file.Name(), s.offset, found.offset)
		}
		return found, err
	case after:
		return position{s.line + 1, s.offset}, requireLineAt(file, s.offset)
	case earliest:
	}
	return position{}, nil
}

// count goes over complete lines from a position on, up to that many of the file's and none that ends behind the limit.
func count(ctx context.Context, file *os.File, found position, lines, limit int64) (position, error) {
	buffer := make([]byte, scanSize)
	for at := found.offset; at < limit && found.line < lines; {
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		n, err := file.ReadAt(buffer[:min(scanSize, limit-at)], at)
		for chunk := buffer[:n]; found.line < lines; found.line++ {
			i := bytes.IndexByte(chunk, '\n')
			if i < 0 {
				break
			}
			chunk = chunk[i+1:]
			found.offset = at + int64(n-len(chunk))
		}
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return found, nil
		case err != nil:
			return found, cause("read", file.Name(), err)
		}
	}
	return found, nil
}

// requireLineAt checks that the offset is still the end of a line that was read.
func requireLineAt(file *os.File, offset int64) error {
	info, err := file.Stat()
	if err != nil {
		return cause("look at", file.Name(), err)
	}
	if info.Size() < offset {
		return &ChangedError{File: file.Name(), Offset: offset, Size: info.Size(), What: tooShort}
	}
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, offset-1); err != nil {
		return cause("read", file.Name(), err)
	}
	if last[0] != '\n' {
		return &ChangedError{File: file.Name(), Offset: offset, Size: info.Size(), What: noLineEnd}
	}
	return nil
}
