package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"testing"

	"github.com/tenure-go/tenure/integration/internal/build"
	"github.com/tenure-go/tenure/integration/internal/sameorder"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

// program is what simulates one group: this program, built so that what happens at one moment has the same order each
// time, or this one as it is where that is not possible.
var program string

func TestMain(m *testing.M) {
	if os.Getenv(resultEnv) != "" {
		debug.SetMemoryLimit(1 << 30) // by then a garbage collector is needed after all
		etcdtest.Main(m)
	}
	flag.Parse()
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "tenure-simulation-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(folder) //nolint:errcheck // The system's temporary folder is cleared some time.
		if program, err = programIn(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func programIn(folder string) (string, error) {
	if unfit := build.Fits(sameorder.Edits()...); unfit != nil && !sameorder.Built {
		fmt.Fprintln(os.Stderr, "no run can be made again exactly, since this Go is not the one that is known:", unfit)
	} else if !sameorder.Built {
		return build.Test(folder, "integration/simulation", sameorder.Edits()...)
	}
	return os.Executable()
}
