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

// Main is a TestMain for packages that use this one. It lets [StartProcesses] run members with the test binary, runs
// the tests, and fails if they leave a goroutine behind. It waits longer for that than goleak.VerifyTestMain does,
// for what etcd itself leaves for some seconds.
func Main(m *testing.M) {
	RunMember()
	code := m.Run()
	if code == 0 {
		if err := findLeaks(); err != nil {
			fmt.Fprintln(os.Stderr, "etcdtest:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func findLeaks() error {
	deadline := time.Now().Add(peersLinger)
	for {
		err := goleak.Find()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
