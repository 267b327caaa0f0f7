package etcdtest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// peersLinger is how long the connections between members of one process may outlive them, and some more.
const peersLinger = 15 * time.Second

// Main is a TestMain for packages that use this one. It does what [Run] does and exits.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run lets [StartProcesses] run members with the test binary, runs the tests, fails if they leave a goroutine behind,
// and returns the status to exit with. It waits longer for goroutines than goleak.VerifyTestMain does, for what etcd
// itself leaves for some seconds. Those that options name may stay.
func Run(m *testing.M, options ...goleak.Option) int {
	RunMember()
	code := m.Run()
	if code == 0 {
		if err := findLeaks(options); err != nil {
			fmt.Fprintln(os.Stderr, "etcdtest:", err)
			code = 1
		}
	}
	return code
}

func findLeaks(options []goleak.Option) error {
	deadline := time.Now().Add(peersLinger)
	for {
		err := goleak.Find(options...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
