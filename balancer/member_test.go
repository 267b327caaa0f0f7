package balancer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

func TestMembersShareThePartitions(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 128)
	began := time.Now()
	for i := range 8 {
		f.start(memberName(i), idleHandler)
	}
	f.await("a balanced group", f.balanced(8))
	t.Logf("cold start: %v", time.Since(began))
	require.Less(t, time.Since(began), 5*time.Second)
	s := f.mirror.Snapshot()
	_ = s
}
