// Command cast is what tests start as processes of their own: a member of a group, or one of etcd, by what the
// environment says. It is built without the race detector, so that limits of time mean something.
package main

import (
	"fmt"
	"os"

	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

func main() {
	etcdtest.RunMember()
	member.Run()
	fmt.Fprintln(os.Stderr, "only tests can start this")
	os.Exit(2)
}
