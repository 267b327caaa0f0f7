package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// simulateFor is how long runs are made. TENURE_SIMULATE sets it, as a duration.
const simulateFor = 10 * time.Second

// Whatever happens, at whatever moment, what is promised holds.
func TestSimulatedGroups(t *testing.T) {
	lasts := simulateFor
	if set := os.Getenv("TENURE_SIMULATE"); set != "" {
		var err error
		lasts, err = time.ParseDuration(set)
		require.NoError(t, err)
	}
	first, only := rand.Uint64(), os.Getenv(seedEnv)
	if only != "" {
		_, err := fmt.Sscan(only, &first)
		require.NoError(t, err)
	}
	s := seeds{folder: t.TempDir(), first: first, next: first, began: time.Now(), lasts: lasts, only: only != ""}
	working, ctx := errgroup.WithContext(t.Context())
	for range runtime.NumCPU() {
		working.Go(func() error { return s.run(ctx) })
	}
	if err := working.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d runs from seed %d on: %d events, %d handled again; %d checkpoints; %d calls, %d of unknown outcome; "+
		"owned again after %v at most", s.runs, first, s.sum.Account.Events, s.sum.Account.Repeated,
		s.sum.Account.Checkpoints, s.sum.Calls.Calls, s.sum.Calls.Unknown, s.sum.Owned)
}

// seeds are tried one after the other.
type seeds struct {
	folder string
	first  uint64
	only   bool // the first
	began  time.Time
	lasts  time.Duration

	mu   sync.Mutex
	next uint64
	runs int
	sum  outcome
}

func (s *seeds) run(ctx context.Context) error {
	for {
		seed, ok := s.take()
		if !ok {
			return nil
		}
		result, err := played(ctx, s.folder, seed)
		if err != nil {
			return err
		}
		if len(result.Violations) > 0 {
			return fmt.Errorf("%s=%d after %d runs and %v\n%s\n%v", seedEnv, seed, seed-s.first+1, time.Since(s.began),
				strings.Join(result.Story, "\n"), result.Violations)
		}
		s.add(result)
	}
}

func (s *seeds) take() (seed uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs > 0 && (s.only || time.Since(s.began) > s.lasts) {
		return 0, false
	}
	s.runs++
	s.next++
	return s.next - 1, true
}

func (s *seeds) add(result outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.Account.Add(result.Account)
	s.sum.Calls.Add(result.Calls)
	s.sum.Owned = max(s.sum.Owned, result.Owned)
}
