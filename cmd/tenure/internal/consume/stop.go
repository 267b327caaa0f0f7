package consume

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// stallNotice is how long the readers may take to finish before the log says what is waited for.
const stallNotice = 500 * time.Millisecond

// errStuck ends a consumer whose output does not take what is being written.
var errStuck = errors.New("standard output is stuck: what could not be printed was not checkpointed")

// tellOfStop logs that the command stops when ctx ends, unless it is told before that this does not matter any more.
func tellOfStop(ctx context.Context, log *zap.Logger) (never func() bool) {
	return context.AfterFunc(ctx, func() {
		log.Info("stopping: what is being printed is finished and checkpointed, then the partitions are given up; " +
			"a second signal ends at once")
	})
}

// tellOfStall logs what a stop waits for that takes long.
func (p *printer) tellOfStall(log *zap.Logger) {
	if p.out.waiting.Load() > 0 {
		log.Warn("stopping: waiting for the reader of standard output; a second signal ends at once")
	} else {
		log.Warn("stopping: waiting for etcd to take the last checkpoints; a second signal ends at once")
	}
}

// await reports whether done is closed within the limit.
func await(done <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
