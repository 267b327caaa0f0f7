package integration_test

import (
	"sync"
	"testing"
	"time"
)

// sight guards what has been seen of a fleet, and tells whoever waits for something to be seen.
type sight struct {
	mu    sync.Mutex
	fresh bool // something, since it was last looked at
}

// see takes something in.
func (s *sight) see(take func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	take()
	s.fresh = true
}

// look asks whether a condition holds, if it was not asked since something was last seen.
func (s *sight) look(condition func() bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := s.fresh
	s.fresh = false
	return fresh && condition()
}

// lookAgain is how long an await rests before it looks again. Conditions take their time, which what is measured needs.
const lookAgain = 5 * time.Millisecond

// await waits until the condition holds, which is asked again when something has been seen. It fails when patience
// ends, with what state returns, or when wrong returns why the condition cannot hold any more.
func (s *sight) await(t *testing.T, what string, condition func() bool, wrong, state func() string) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	s.see(func() {})
	failure := ""
	for !s.look(func() bool {
		if condition() {
			return true
		}
		failure = wrong()
		return failure != ""
	}) {
		select {
		case <-again.C:
		case <-limit.C:
			s.see(func() { failure = state() })
			t.Fatalf("waited %v in vain until %s\n%s", patience, what, failure)
		}
	}
	if failure != "" {
		t.Fatalf("waiting until %s: %s", what, failure)
	}
}
