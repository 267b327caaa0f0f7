package filestream

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever is appended in whatever pieces, and wherever a follower's successor begins, each line is read once, with its
// number and its offset.
func TestEachLineIsReadOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := newScene(t)
		s.appendTo("file", "")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // not reached unless a line is missed
		defer cancel()
		var written []byte
		var read []Line
		var f *Follower
		begin := func(start Start) {
			if f != nil {
				require.NoError(rt, f.Close())
			}
			f = s.folder.Follow("file", start)
			_, _, err := f.Begin(ctx)
			require.NoError(rt, err)
		}
		begin(Earliest())
		defer func() { require.NoError(rt, f.Close()) }()

		// readSome reads some of what is complete and not read.
		readSome := func(limit int) {
			if complete := bytes.Count(written, []byte("\n")); len(read) < complete {
				lines, err := f.Next(ctx, limit)
				require.NoError(rt, err)
				require.LessOrEqual(rt, len(lines), limit)
				read = append(read, lines...)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				piece := rapid.OneOf(
					rapid.StringOfN(rapid.SampledFrom([]rune("\n\n\r\rab\u2028")), 1, 20, -1),
					rapid.Map(rapid.IntRange(1, 2*chunk), func(n int) string { return strings.Repeat("x", n) }),
					rapid.Just("\xff\xfe"),
				).Draw(rt, "piece")
				if unfinished := len(written) - bytes.LastIndexByte(written, '\n') - 1; unfinished+len(piece) >= MaxLine {
					piece = "\n"
				}
				s.appendTo("file", piece)
				written = append(written, piece...)
			},
			"read": func(rt *rapid.T) { readSome(rapid.IntRange(1, 10).Draw(rt, "limit")) },
			"begin again": func(rt *rapid.T) {
				read = read[:rapid.IntRange(0, len(read)).Draw(rt, "checkpoint")]
				begin(rapid.SampledFrom(startsAfter(read)).Draw(rt, "start"))
			},
		})
		for len(read) < bytes.Count(written, []byte("\n")) {
			readSome(10)
		}
		require.Equal(rt, linesOf(written), read)
	})
}

// startsAfter returns the ways to begin behind what has been read.
func startsAfter(read []Line) []Start {
	if len(read) == 0 {
		return []Start{Earliest(), AtOffset(0), AtLine(0)}
	}
	last := read[len(read)-1]
	return []Start{After(last.Number, last.Offset), AtOffset(last.Offset), AtLine(last.Number + 1)}
}

// linesOf splits the whole of a file.
func linesOf(written []byte) []Line {
	var lines []Line
	offset := int64(0)
	for _, text := range bytes.SplitAfter(written, []byte("\n")) {
		if !bytes.HasSuffix(text, []byte("\n")) {
			break
		}
		offset += int64(len(text))
		body := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		lines = append(lines, Line{int64(len(lines)), offset, append([]byte{}, body...)})
	}
	return lines
}
