package filestream

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseStart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Start{
		"earliest": Earliest(), "latest": Latest(), "offset:0": AtOffset(0), "offset:12": AtOffset(12),
		"sequence:3": AtLine(3),
	} {
		got, err := ParseStart(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for text, words := range map[string]string{
		"":                     "is none of earliest",
		"first":                "is none of earliest",
		"offset:":              "is none of earliest",
		"offset:1:2":           "is none of earliest",
		"sequence:x":           "is none of earliest",
		"earliest:1":           "is none of earliest",
		"2026-05-01T12:00:00Z": "lines have no time",
		"sequence:-1":          "is before any line",
		"offset:-2":            "is before any line",
	} {
		_, err := ParseStart(text)
		require.ErrorContains(t, err, words, text)
	}
}

// What Begin returns is what a checkpoint there would be, and what is read from there is what comes after it.
func TestStarts(t *testing.T) {
	t.Parallel()
	const content = "zero\none\r\n\nthree\nfou" // lines end at 5, 10, 11 and 17; the last has no end
	for name, test := range map[string]struct {
		file           string
		start          Start
		number, offset int64
		read           []string
	}{
		"earliest":                 {"file", Earliest(), -1, 0, []string{"zero", "one", "", "three", "four"}},
		"latest":                   {"file", Latest(), 3, 17, []string{"four"}},
		"offset at the start":      {"file", AtOffset(0), -1, 0, []string{"zero", "one", "", "three", "four"}},
		"offset":                   {"file", AtOffset(10), 1, 10, []string{"", "three", "four"}},
		"offset behind all lines":  {"file", AtOffset(17), 3, 17, []string{"four"}},
		"first line":               {"file", AtLine(0), -1, 0, []string{"zero", "one", "", "three", "four"}},
		"line":                     {"file", AtLine(3), 2, 11, []string{"three", "four"}},
		"line to come":             {"file", AtLine(4), 3, 17, []string{"four"}},
		"after":                    {"file", After(1, 10), 1, 10, []string{"", "three", "four"}},
		"after, by another number": {"file", After(41, 10), 41, 10, []string{"", "three", "four"}},
		"latest of an empty file":  {"empty", Latest(), -1, 0, []string{"r"}},
		"first line of an empty":   {"empty", AtLine(0), -1, 0, []string{"r"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			if test.file == "file" {
				s.appendTo("file", content)
			} else {
				s.appendTo("empty", "")
			}
			f := s.folder.Follow(test.file, test.start)
			defer f.Close() //nolint:errcheck // It was only read.
			number, offset, err := f.Begin(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.number, number)
			require.Equal(t, test.offset, offset)
			s.appendTo(test.file, "r\n")
			lines, err := f.Next(t.Context(), 100)
			require.NoError(t, err)
			require.Equal(t, test.read, texts(lines))
			for i, line := range lines {
				require.Equal(t, test.number+1+int64(i), line.Number)
			}
		})
	}
}

func TestStartsThatAreNotThere(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.appendTo("file", "zero\none\ntw")
	for words, start := range map[string]Start{
		"has only 2 lines: there is no line 3 to begin at":                       AtLine(3),
		"no line of " + s.path("file") + " begins at byte 4; one begins at":      AtOffset(4),
		"no line of " + s.path("file") + " begins at byte 11; one begins at":     AtOffset(11),
		"no line of " + s.path("file") + " begins at byte 10000; one begins at ": AtOffset(10_000),
		"read on from byte 6, and has no end of a line there (it has 11 bytes)":  After(0, 6),
		"read on from byte 11, and has no end of a line there":                   After(2, 11),
		"read on from byte 12, and is shorter than that (it has 11 bytes)":       After(2, 12),
	} {
		_, _, err := s.folder.Follow("file", start).Begin(t.Context())
		require.ErrorContains(t, err, words)
		require.ErrorContains(t, err, s.path("file"))
	}
}

// Lines are counted over the bounds of what is read at a time.
func TestCountingManyLines(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	line := strings.Repeat("x", 99) + "\n"
	const lines = 3*scanSize/100 + 7
	s.appendTo("file", strings.Repeat(line, lines)+"end")
	for start, want := range map[Start]int64{
		Latest(): lines, AtOffset(100 * (lines - 1)): lines - 1, AtLine(lines - 2): lines - 2,
	} {
		f := s.folder.Follow("file", start)
		number, offset, err := f.Begin(t.Context())
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Equal(t, want-1, number)
		require.Equal(t, 100*want, offset)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := s.folder.Follow("file", Latest()).Begin(ended)
	require.ErrorIs(t, err, context.Canceled)
}
