package filestream

import (
	"context"
	"os"
	"sync"
	"time"
)

const (
	// pause is between two looks at whether files have grown.
	pause = 50 * time.Millisecond

	// restFactor makes the pause longer where a look takes long, because there are thousands of files or the file system
	// is slow, so that looking takes no more than a tenth of the time.
	restFactor = 10
)

// lookout looks for all followers at once whether the files that they wait for have changed. One pass over many files
// costs a fraction of what as many timers would.
type lookout struct {
	mu      sync.Mutex
	waiting map[*waiter]struct{}
	armed   bool // a look is to come
}

// waiter is a file that is waited for.
type waiter struct {
	file    *os.File
	size    int64         // that it had
	changed chan struct{} // closed by the look that finds another
}

// await returns when the file has another size, when the limit is over, or when ctx ends.
func (l *lookout) await(ctx context.Context, file *os.File, size int64, limit time.Duration) {
	w := &waiter{file, size, make(chan struct{})}
	l.mu.Lock()
	l.waiting[w] = struct{}{}
	l.arm(pause)
	l.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-w.changed:
		return
	case <-timer.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, w)
}

// arm has the next look come after the pause if anybody waits. The mutex is held.
func (l *lookout) arm(pause time.Duration) {
	if !l.armed && len(l.waiting) > 0 {
		l.armed = true
		time.AfterFunc(pause, l.look)
	}
}

func (l *lookout) look() {
	began := time.Now()
	l.mu.Lock()
	waiting := make([]*waiter, 0, len(l.waiting))
	for w := range l.waiting {
		waiting = append(waiting, w)
	}
	l.mu.Unlock()
	for _, w := range waiting { // without the mutex: a file system may take its time
		if info, err := w.file.Stat(); err == nil && info.Size() == w.size {
			continue
		}
		l.mu.Lock()
		delete(l.waiting, w)
		l.mu.Unlock()
		close(w.changed)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	l.arm(max(pause, restFactor*time.Since(began)))
}
