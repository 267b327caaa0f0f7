package filestream

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLines(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.appendTo("file", "one\ntwo\r\n\n\r\n\xff\x00\nü\rx\r\r\n")
	lines, err := s.follow(Earliest()).Next(t.Context(), 100)
	require.NoError(t, err)
	require.Equal(t, []Line{
		{0, 4, []byte("one")}, {1, 9, []byte("two")}, {2, 10, []byte{}}, {3, 12, []byte{}}, {4, 15, []byte{0xff, 0}},
		{5, 22, []byte("ü\rx\r")},
	}, lines)
}

func TestALimitLeavesTheRestToTheNextCall(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.appendTo("file", "a\nb\nc\n")
	f := s.follow(Earliest())
	first, err := f.Next(t.Context(), 2)
	require.NoError(t, err)
	second, err := f.Next(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, texts(first))
	require.Equal(t, []Line{{2, 6, []byte("c")}}, second)
}

func TestGrowthIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.appendTo("file", "one\n")
		f := s.follow(Latest())
		waiting := s.next(t.Context(), f)
		pass()
		s.appendTo("file", "two\nthre")
		n := <-waiting
		require.NoError(t, n.err)
		require.Equal(t, []string{"two"}, texts(n.lines))
		require.LessOrEqual(t, n.after, time.Minute+pause)

		// The unfinished line waits for its end, however long that takes.
		waiting = s.next(t.Context(), f)
		pass()
		s.appendTo("file", "e")
		pass()
		require.Empty(t, waiting)
		s.appendTo("file", "\n")
		n = <-waiting
		require.NoError(t, n.err)
		require.Equal(t, []Line{{2, 14, []byte("three")}}, n.lines)
		require.Zero(t, s.logged.Len())
	})
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.appendTo("file", "one")
		f := s.follow(Earliest())
		limited, cancel := context.WithTimeout(t.Context(), 70*time.Millisecond)
		defer cancel()
		_, err := f.Next(limited, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		s.appendTo("file", "\n")
		lines, err := f.Next(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, []string{"one"}, texts(lines), "nothing is lost with a wait that ended")
	})
}

func TestALongLineIsRefused(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"", "\n", "\nnext\n"} {
		s := newScene(t)
		longest := strings.Repeat("x", MaxLine-1)
		s.appendTo("file", "short\n"+longest+"\n"+longest+"x"+end)
		f := s.follow(Earliest())
		var read []string
		var err error
		for err == nil {
			var lines []Line
			lines, err = f.Next(t.Context(), 100)
			read = append(read, texts(lines)...)
			require.LessOrEqual(t, cap(f.buffer), MaxLine+chunk, "memory is bounded")
		}
		require.Equal(t, []string{"short", longest}, read)
		long, ok := errors.AsType[*LongLineError](err)
		require.True(t, ok, err)
		require.Equal(t, &LongLineError{File: s.path("file"), Line: 2, Offset: 6 + MaxLine}, long)
		require.ErrorContains(t, err, "line 2 of "+s.path("file")+", which begins at byte 1048582, is longer than 1048576")
	}
}

func TestTruncationIsAnError(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		truncate       func(path string) error
		what           string
		afterThat      string
		offset, length int64
	}{
		"to nothing":                {func(path string) error { return os.Truncate(path, 0) }, tooShort, tooShort, 10, 0},
		"within the lines":          {func(path string) error { return os.Truncate(path, 5) }, tooShort, tooShort, 10, 5},
		"within an unfinished line": {func(path string) error { return os.Truncate(path, 9) }, tooShort, "", 10, 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t)
				s.appendTo("file", "one\ntwo\nth")
				f := s.follow(Earliest())
				lines, err := f.Next(t.Context(), 100)
				require.NoError(t, err)
				require.Len(t, lines, 2)
				waiting := s.next(t.Context(), f)
				pass()
				require.NoError(t, test.truncate(s.path("file")))
				n := <-waiting
				require.LessOrEqual(t, n.after, time.Minute+pause)
				require.Equal(t, &ChangedError{s.path("file"), test.offset, test.length, test.what}, n.err)
				require.ErrorContains(t, n.err, "it was truncated or replaced")

				// Nor does anybody go on there who has only the checkpoint.
				_, _, err = s.folder.Follow("file", After(1, 8)).Begin(t.Context())
				if test.afterThat == "" {
					require.NoError(t, err, "the lines that were returned are still there")
					return
				}
				require.Equal(t, &ChangedError{s.path("file"), 8, test.length, test.afterThat}, err)
			})
		})
	}
}

// A file is rotated: renamed, and a new one put in its place. What the old one still gets in that moment is read; the
// new one is not the continuation of the old, even if it is longer.
func TestRotationIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.appendTo("file", "one\n")
		f := s.follow(Earliest())
		lines, err := f.Next(t.Context(), 100)
		require.NoError(t, err)
		require.Len(t, lines, 1)
		require.NoError(t, os.Rename(s.path("file"), s.path("file.1")))
		s.appendTo("file.1", "two\n")
		s.appendTo("file", "another one\n")
		lines, err = f.Next(t.Context(), 100)
		require.NoError(t, err)
		require.Equal(t, []string{"two"}, texts(lines))

		n := <-s.next(t.Context(), f)
		require.LessOrEqual(t, n.after, namePause+pause)
		require.Equal(t, &ChangedError{s.path("file"), 8, 12, renamed}, n.err)
		_, _, err = s.folder.Follow("file", After(1, 8)).Begin(t.Context())
		require.Equal(t, &ChangedError{s.path("file"), 8, 12, noLineEnd}, err)
	})
}

func TestARemovedFileIsToldOnceAndWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.appendTo("file", "one\n")
		f := s.follow(Latest())
		waiting := s.next(t.Context(), f)
		require.NoError(t, os.Rename(s.path("file"), s.path(".elsewhere")))
		pass()
		require.Equal(t, 1, s.logged.Len())
		require.Equal(t, s.path("file"), s.logged.All()[0].ContextMap()["file"])

		require.NoError(t, os.Rename(s.path(".elsewhere"), s.path("file")))
		pass()
		s.appendTo("file", "two\n")
		n := <-waiting
		require.NoError(t, n.err)
		require.Equal(t, []string{"two"}, texts(n.lines))

		waiting = s.next(t.Context(), f)
		require.NoError(t, os.Remove(s.path("file")))
		pass()
		require.Equal(t, 2, s.logged.Len(), "it is told again when it has gone again")
		s.appendTo("file", "one\ntwo\n")
		n = <-waiting
		require.Equal(t, &ChangedError{s.path("file"), 8, 8, renamed}, n.err)
	})
}

func TestAFileThatIsNotThereYetIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		f := s.folder.Follow("file", Earliest())
		defer f.Close() //nolint:errcheck // It was only read.
		begun := make(chan error, 1)
		go func() {
			_, _, err := f.Begin(t.Context())
			begun <- err
		}()
		pass()
		require.Empty(t, begun)
		require.Equal(t, 1, s.logged.Len())
		s.appendTo("file", "one\n")
		require.NoError(t, <-begun)
		lines, err := f.Next(t.Context(), 100)
		require.NoError(t, err)
		require.Equal(t, []string{"one"}, texts(lines))

		limited, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, _, err = s.folder.Follow("none", Earliest()).Begin(limited)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestWhatHasBecomeNoFile(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	require.NoError(t, os.Mkdir(s.path("folder"), 0o700))
	_, _, err := s.folder.Follow("folder", Earliest()).Begin(t.Context())
	require.EqualError(t, err, s.path("folder")+" is no regular file any more")
	s.appendTo("locked", "one\n")
	require.NoError(t, os.Chmod(s.path("locked"), 0))
	f := s.folder.Follow("locked", Earliest())
	if _, _, err = f.Begin(t.Context()); err == nil {
		require.NoError(t, f.Close())
		t.Skip("this user may read everything")
	}
	require.EqualError(t, err, "open "+s.path("locked")+": permission denied")
}

// A large file is read in pieces, and lines that lie across them are whole.
func TestLinesAcrossPieces(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var content bytes.Buffer
	var want []string
	for i := range 400 {
		line := strings.Repeat(string(rune('a'+i%26)), 700+i)
		want = append(want, line)
		content.WriteString(line + "\n")
	}
	s.appendTo("file", content.String())
	f := s.follow(Earliest())
	var read []string
	for len(read) < len(want) {
		lines, err := f.Next(t.Context(), 100)
		require.NoError(t, err)
		read = append(read, texts(lines)...)
	}
	require.Equal(t, want, read)
}
