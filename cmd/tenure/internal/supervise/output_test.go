package supervise

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOutputIsPrefixedLineByLine(t *testing.T) {
	printed, errs := newTranscript(), newTranscript()
	o := NewPrefixedOutput(printed, errs, []string{"0", "10", "ü"}, false, func(err error) { panic(err) })
	for _, partition := range []string{"0", "10"} {
		stdout, stderr, started, err := o.open(partition)
		require.NoError(t, err)
		_, err = stdout.WriteString("one\n\ntwo\r\nno end")
		require.NoError(t, err)
		_, err = stderr.WriteString(strings.Repeat("x", longestPiece+1) + "\n")
		require.NoError(t, err)
		started()
	}
	o.Close()
	require.ElementsMatch(t, []string{
		"0  | one\n", "0  | \n", "0  | two\r\n", "0  | no end\n",
		"10 | one\n", "10 | \n", "10 | two\r\n", "10 | no end\n",
	}, printed.lines())
	long := strings.Repeat("x", longestPiece) + "\n"
	require.ElementsMatch(t, []string{"0  | " + long, "0  | x\n", "10 | " + long, "10 | x\n"}, errs.lines())
}

func TestColours(t *testing.T) {
	partitions := []string{"a", "b", "c", "d", "e", "f", "g"}
	o := NewPrefixedOutput(io.Discard, io.Discard, partitions, true, nil)
	require.Equal(t, "\x1b[31ma | \x1b[0m", o.prefix("a"))
	require.Equal(t, "\x1b[36mf | \x1b[0m", o.prefix("f"))
	require.Equal(t, "\x1b[31mg | \x1b[0m", o.prefix("g"))
	require.Equal(t, "\x1b[31munheard of | \x1b[0m", o.prefix("unheard of"))
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestOutputThatFailsIsDropped(t *testing.T) {
	var failures []error
	o := NewPrefixedOutput(brokenWriter{}, io.Discard, nil, false, func(err error) { failures = append(failures, err) })
	stdout, _, started, err := o.open("0")
	require.NoError(t, err)
	for range 1000 { // more than a pipe holds: it is read all the same
		_, err = stdout.WriteString(strings.Repeat("x", 1000) + "\n")
		require.NoError(t, err)
	}
	started()
	o.Close()
	require.Equal(t, []error{io.ErrClosedPipe}, failures)
}

// A process that was left behind keeps its output open and nothing waits for it for long.
func TestOutputThatStaysOpenIsClosed(t *testing.T) {
	o := NewPrefixedOutput(io.Discard, io.Discard, nil, false, nil)
	stdout, stderr, _, err := o.open("0")
	require.NoError(t, err)
	o.Close()
	o.copying.Wait()
	_, err = stdout.WriteString("x\n")
	require.Error(t, err)
	require.NoError(t, errors.Join(stdout.Close(), stderr.Close()))
}

func TestRawOutput(t *testing.T) {
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	s := supervisor(t, RawOutput{Stdout: writer, Stderr: writer}, "/bin/sh", "-c", "printf 'as it is'; printf ' too' >&2")
	require.NoError(t, s.Handle(t.Context(), newPartition("0")))
	require.NoError(t, writer.Close())
	printed, err := io.ReadAll(reader)
	require.NoError(t, err)
	require.Equal(t, "as it is too", string(printed))
	require.NoError(t, reader.Close())
}
