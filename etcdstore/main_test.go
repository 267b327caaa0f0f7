package etcdstore

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

func TestMain(m *testing.M) {
	etcdtest.RunMember()
	goleak.VerifyTestMain(m)
}
