package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

const (
	// partitions is how many the stream has: it divides by two, three and four members.
	partitions = 12

	// rate is how many events a second are appended, to all partitions together.
	rate = 240

	appendInterval = 50 * time.Millisecond
)

// partitionID is a partition's name, which is that of its file too.
func partitionID(partition int) string { return fmt.Sprintf("%02d", partition) }

// body is what stands in an event. It tells which event it is, so that a member that mixed two up would be found out.
func body(partition, number int) string {
	return fmt.Sprintf("order %s-%06d", partitionID(partition), number)
}

// stream appends events to partitions, which are files with one event a line.
type stream struct {
	files    [partitions]*os.File
	appended [partitions]int // written to the file so far
}

// newStream makes the empty partitions.
func newStream(dir string) (s *stream, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the stream's folder: %w", err)
	}
	s = &stream{}
	for p := range s.files {
		name := filepath.Join(dir, partitionID(p))
		s.files[p], err = os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // Named by us.
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make a partition: %w", err), s.close())
		}
	}
	return s, nil
}

// run appends at a steady rate until ctx ends and tells after each round what has been appended by then.
func (s *stream) run(ctx context.Context, told func(appended [partitions]int)) error {
	ticker := time.NewTicker(appendInterval)
	defer ticker.Stop()
	began, total := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		due := int(time.Since(began).Seconds()*rate) - total
		total += due
		if err := s.add(due); err != nil {
			return err
		}
		told(s.appended)
	}
}

// add appends events to partitions at random, as keys would.
func (s *stream) add(events int) error {
	var lines [partitions][]byte
	for range events {
		p := rand.IntN(partitions)
		lines[p] = append(lines[p], body(p, s.appended[p])+"\n"...)
		s.appended[p]++
	}
	for p, file := range s.files {
		if len(lines[p]) == 0 {
			continue
		}
		if _, err := file.Write(lines[p]); err != nil {
			return fmt.Errorf("append to a partition: %w", err)
		}
	}
	return nil
}

func (s *stream) close() error {
	var problems []error
	for _, file := range s.files {
		if file != nil {
			problems = append(problems, file.Close())
		}
	}
	return errors.Join(problems...)
}
