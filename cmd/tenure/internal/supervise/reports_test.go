package supervise

import (
	"bufio"
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a worker writes is taken in line by line: each line that is not too long as it stands, and one answer for
// each that is.
func FuzzLines(f *testing.F) {
	const most = 32
	for _, seed := range []string{
		"", "\n", "a\nb", "a\r\n\n", string(bytes.Repeat([]byte("x"), most)) + "\ny\n",
		string(bytes.Repeat([]byte("x"), 3*most)), "\x00\n\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, written []byte) {
		lines := bufio.NewReaderSize(bytes.NewReader(written), most)
		want := bytes.Split(written, []byte("\n"))
		for _, line := range want[:len(want)-1] {
			got, err := readLine(lines)
			if len(line) >= most {
				require.ErrorIs(t, err, errLongLine)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, string(line), string(got))
		}
		_, err := readLine(lines)
		require.ErrorIs(t, err, io.EOF, "what has no end is no line")
	})
}
