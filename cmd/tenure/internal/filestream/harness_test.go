package filestream

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// scene is a folder in which a test writes and that it follows.
type scene struct {
	t      *testing.T
	dir    string
	folder *Folder
	logged *observer.ObservedLogs
}

func newScene(t *testing.T) *scene {
	t.Helper()
	core, logged := observer.New(zap.DebugLevel)
	dir := t.TempDir()
	folder, err := Open(dir, zap.New(core))
	require.NoError(t, err)
	return &scene{t: t, dir: dir, folder: folder, logged: logged}
}

func (s *scene) path(name string) string { return filepath.Join(s.dir, name) }

// appendTo appends to a file, which is made if there is none.
func (s *scene) appendTo(name, text string) {
	s.t.Helper()
	file, err := os.OpenFile(s.path(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(s.t, err)
	_, err = file.WriteString(text)
	require.NoError(s.t, err)
	require.NoError(s.t, file.Close())
}

// follow follows the one file of most tests.
func (s *scene) follow(start Start) *Follower {
	s.t.Helper()
	f := s.folder.Follow("file", start)
	s.t.Cleanup(func() { require.NoError(s.t, f.Close()) })
	_, _, err := f.Begin(s.t.Context())
	require.NoError(s.t, err)
	return f
}

// next is what a call of Next has come to.
type next struct {
	lines []Line
	err   error
	after time.Duration
}

// next has a follower wait for its next lines. What comes of it can be received from the channel.
func (s *scene) next(ctx context.Context, f *Follower) <-chan next {
	result := make(chan next, 1)
	began := time.Now()
	go func() {
		lines, err := f.Next(ctx, 100)
		result <- next{lines, err, time.Since(began)}
	}()
	return result
}

// pass lets a minute pass on the bubble's clock, and everybody do what is to be done by then.
func pass() {
	time.Sleep(time.Minute) //nolint:forbidigo // Nobody waits: the clock is synctest's.
	synctest.Wait()
}

func texts(lines []Line) []string {
	var all []string
	for _, line := range lines {
		all = append(all, string(line.Text))
	}
	return all
}
