package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// dozen are the names of twelve files.
func dozen() []string {
	var names []string
	for i := range 12 {
		names = append(names, fmt.Sprintf("orders-%02d.log", i))
	}
	return names
}

// The folder is empty when the consumers start. Files appear, and are read and shared.
func TestNewFilesAreRead(t *testing.T) {
	t.Parallel()
	stream := newFiles(t)
	f := newFleet(t, stream, etcdtest.Start(t).Endpoints())
	f.start("a", "b")
	f.await("both have joined", func() bool {
		return len(f.loggedLocked("a", "joined the group")) > 0 && len(f.loggedLocked("b", "joined the group")) > 0
	})
	for _, name := range []string{"first", "second", "third"} {
		stream.add(name, 3)
		appeared := time.Now()
		f.awaitCaughtUp()
		t.Logf("%s is read %v after it appeared", name, time.Since(appeared).Round(time.Millisecond))
	}
	stream.add("fourth", 1)
	f.awaitShared("a", "b")
	f.awaitCaughtUp()
	f.leave("a", "b")
	f.requireSound()
	require.Zero(t, f.repeated)
}

// A file is truncated. The log says so, the file is not read on, and the others are.
func TestATruncatedFileIsNotReadOn(t *testing.T) {
	t.Parallel()
	stream := newFiles(t, "whole", "truncated")
	f := newFleet(t, stream, etcdtest.Start(t).Endpoints())
	f.start("a")
	f.awaitCheckpoints("a")
	stream.stop()
	stream.add("truncated", 1) // there has to be something to cut off
	f.awaitCaughtUp()
	printed := f.covered["truncated"]

	path := filepath.Join(stream.dir, "truncated")
	require.NoError(t, os.Truncate(path, 0))
	f.await("the log tells of it", func() bool {
		for _, entry := range f.loggedLocked("a", "handler failed") {
			if entry.Partition == "truncated" {
				require.Contains(t, entry.Line, path)
				require.Contains(t, entry.Line, "it was truncated or replaced")
				require.Contains(t, entry.Line, "tenure checkpoint delete 'local/orders/billing' 'truncated'")
				return true
			}
		}
		return false
	})
	require.NoError(t, os.WriteFile(path, []byte("truncated-0\n"), 0o600))
	stream.add("whole", 10)
	f.await("the other is read", func() bool { return f.covered["whole"] == stream.last()["whole"]+1 })
	f.leave("a")
	require.Equal(t, printed, f.covered["truncated"])
	require.Zero(t, f.repeated)
}
