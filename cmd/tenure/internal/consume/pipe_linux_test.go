package consume

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckpointsWaitForThePipesReader(t *testing.T) {
	t.Parallel()
	from, to, err := os.Pipe()
	require.NoError(t, err)
	defer from.Close() //nolint:errcheck // Closed below unless the test fails.
	defer to.Close()   //nolint:errcheck // Likewise.
	failed := make(chan struct{})
	out := &output{w: to, onFailed: func() { close(failed) }}
	require.NoError(t, out.awaitRead(t.Context()), "nothing has been written")
	require.NoError(t, out.write([]byte("one\n")))

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, out.awaitRead(gone), context.Canceled)

	waited := make(chan error, 1)
	go func() { waited <- out.awaitRead(t.Context()) }()
	taken := make([]byte, 3)
	_, err = io.ReadFull(from, taken)
	require.NoError(t, err)
	select {
	case err := <-waited:
		require.Fail(t, "one byte is unread", "%v", err)
	default:
	}
	_, err = io.ReadFull(from, taken[:1])
	require.NoError(t, err)
	require.NoError(t, <-waited)

	// The reader goes, and leaves some of it unread: that must not be checkpointed, though it was written without error.
	require.NoError(t, out.write([]byte("two\n")))
	go func() { waited <- out.awaitRead(t.Context()) }()
	require.NoError(t, from.Close())
	require.ErrorIs(t, <-waited, syscall.EPIPE)
	<-failed
	require.ErrorIs(t, out.write([]byte("three\n")), errOutput)
}

func TestFilesCountAsReadWhenWritten(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer file.Close() //nolint:errcheck // Nothing hangs on it.
	out := &output{w: file, onFailed: func() {}}
	require.NoError(t, out.write([]byte("one\n")))
	require.NoError(t, out.awaitRead(t.Context()))
}
