package simulation

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

func TestMain(m *testing.M) {
	// What happens at the same moment happens in the same order each time, as far as it lies with us.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 30)
	etcdtest.Main(m)
}
