package simulation

import (
	"runtime/debug"
	"testing"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // runs make much garbage and keep little
	etcdtest.Main(m)
}
