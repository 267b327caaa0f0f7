// Package backoff waits between attempts: longer each time, and never in step with others.
package backoff

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"
)

// Backoff is an exponential back-off with jitter. It is not safe for concurrent use.
type Backoff struct {
	least, most, next time.Duration
}

// New returns a back-off whose waits double from least to most. Each is cut by a random part of up to one half.
func New(least, most time.Duration) *Backoff {
	return &Backoff{least: least, most: most, next: least}
}

// Next returns how long to wait before the next attempt.
func (b *Backoff) Next() time.Duration {
	wait := b.next
	b.next = min(2*b.next, b.most)
	return wait - Jitter(wait/2)
}

// Wait waits as long as Next says, or until ctx ends, and then returns ctx's error.
func (b *Backoff) Wait(ctx context.Context) error {
	timer := time.NewTimer(b.Next())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reset starts again from the shortest wait, after a success.
func (b *Backoff) Reset() {
	b.next = b.least
}

// Jitter returns a random duration of up to most, which must not be negative. It uses the one source of chance that a
// test can fix.
func Jitter(most time.Duration) time.Duration {
	var chance [8]byte
	_, _ = rand.Read(chance[:])                                                  // it never fails
	return time.Duration(binary.LittleEndian.Uint64(chance[:]) % uint64(most+1)) //nolint:gosec // Not negative.
}
