package filestream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"go.uber.org/zap"
)

// MaxLine is how many bytes a line may have, its end included. It is about what Event Hubs lets an event have.
const MaxLine = 1 << 20

const (
	chunk     = 64 << 10    // how much is read at a time
	namePause = time.Second // between two looks at whether a file that does not grow still has its name
)

// Line is one line of a file, without its end.
type Line struct {
	Number int64
	Offset int64 // behind its end
	Text   []byte
}

// Follower reads one file's lines as they come. It is for one goroutine.
type Follower struct {
	folder *Folder
	name   string
	start  Start

	file   *os.File // nil until it is there
	next   position // of the first line that has not been returned
	buffer []byte   // what was read from there on, and is not returned
	looked time.Time
	absent bool // the log has told that the file is not there
}

// Follow returns a follower of the file with that name.
func (f *Folder) Follow(name string, start Start) *Follower {
	return &Follower{folder: f, name: name, start: start}
}

// Begin waits for the file if it is not there, opens it and finds the place to begin at. It returns what a checkpoint
// of that place would hold: the number of the line before, which is -1 at the start of the file, and the offset behind
// it.
func (f *Follower) Begin(ctx context.Context) (number, offset int64, err error) {
	for f.file == nil {
		if ctx.Err() != nil {
			return 0, 0, ctx.Err()
		}
		if err := f.open(); errors.Is(err, fs.ErrNotExist) {
			f.noteAbsent()
			wait(ctx, namePause)
		} else if err != nil {
			return 0, 0, err
		}
	}
	f.next, err = f.start.find(ctx, f.file)
	f.looked = time.Now()
	return f.next.line - 1, f.next.offset, err
}

func (f *Follower) open() error {
	path := f.folder.file(f.name)
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return cause("look at", path, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file any more", path)
	}
	if f.file, err = os.Open(path); err != nil { //nolint:gosec // The user named the folder.
		f.file = nil
		return cause("open", path, err)
	}
	f.absent = false
	return nil
}

// Next waits for lines and returns what is there, up to that many. It fails with ctx's error when that ends first.
func (f *Follower) Next(ctx context.Context, limit int) ([]Line, error) {
	for {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if lines := f.take(limit); len(lines) > 0 {
			return lines, nil
		}
		grown, err := f.read()
		if err != nil {
			return nil, err
		}
		if grown {
			continue
		}
		if err := f.lookAtName(); err != nil {
			return nil, err
		}
		f.folder.lookout.await(ctx, f.file, f.end(), namePause)
	}
}

// take takes complete lines out of the buffer.
func (f *Follower) take(limit int) []Line {
	var lines []Line
	for len(lines) < limit {
		i := bytes.IndexByte(f.buffer, '\n')
		if i < 0 || i >= MaxLine {
			break
		}
		f.next.offset += int64(i + 1)
		lines = append(lines, Line{
			Number: f.next.line, Offset: f.next.offset, Text: bytes.TrimSuffix(f.buffer[:i:i], []byte("\r")),
		})
		f.buffer = f.buffer[i+1:]
		f.next.line++
	}
	return lines
}

// read adds to the buffer what comes next in the file, if there is more.
func (f *Follower) read() (grown bool, err error) {
	if len(f.buffer) >= MaxLine {
		return false, &LongLineError{File: f.file.Name(), Line: f.next.line, Offset: f.next.offset}
	}
	info, err := f.file.Stat()
	if err != nil {
		return false, cause("look at", f.file.Name(), err)
	}
	end := f.end()
	more := info.Size() - end
	switch {
	case more < 0:
		return false, &ChangedError{File: f.file.Name(), Offset: end, Size: info.Size(), What: tooShort}
	case more == 0:
		return false, nil
	}
	// Into new memory: the caller still has the lines that were taken from the old.
	buffer := make([]byte, len(f.buffer), len(f.buffer)+int(min(more, chunk)))
	copy(buffer, f.buffer)
	n, err := f.file.ReadAt(buffer[len(buffer):cap(buffer)], end)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, cause("read", f.file.Name(), err)
	}
	f.buffer = buffer[:len(buffer)+n]
	return n > 0, nil
}

// end is how far the file has been read.
func (f *Follower) end() int64 { return f.next.offset + int64(len(f.buffer)) }

// lookAtName looks now and then what has become of the file's name. A file that was removed has no new lines; another
// file under its name has, but they are not those that come after what was read.
func (f *Follower) lookAtName() error {
	if time.Since(f.looked) < namePause {
		return nil
	}
	f.looked = time.Now()
	named, err := os.Lstat(f.file.Name())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.noteAbsent()
		return nil
	case err != nil:
		return cause("look at", f.file.Name(), err)
	}
	opened, err := f.file.Stat()
	switch {
	case err != nil:
		return cause("look at", f.file.Name(), err)
	case !os.SameFile(opened, named):
		return &ChangedError{File: f.file.Name(), Offset: f.next.offset, Size: named.Size(), What: renamed}
	}
	f.absent = false
	return nil
}

// noteAbsent tells once of a file that has gone, or that this machine does not see yet.
func (f *Follower) noteAbsent() {
	if f.absent {
		return
	}
	f.absent = true
	f.folder.log.Warn("there is no file for this partition, which stays and waits for it",
		zap.String("partition", f.name), zap.String("file", f.folder.file(f.name)))
}

// Close closes the file.
func (f *Follower) Close() error {
	if f.file == nil {
		return nil
	}
	if err := f.file.Close(); err != nil {
		return cause("close", f.file.Name(), err)
	}
	return nil
}

// wait waits, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
