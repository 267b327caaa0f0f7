package consume

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/cmd/tenure/internal/filestream"
	"github.com/tenure-go/tenure/etcdstore"
)

func TestHowFarAFileIsBehind(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(path, "a"), []byte("one\ntwo\nthree\nfour\nha"), 0o600))
	folder, err := filestream.Open(path, zap.NewNop())
	require.NoError(t, err)
	for name, c := range map[string]struct {
		after *etcdstore.Checkpoint
		want  int64
	}{
		"no checkpoint":                    {nil, 4},
		"a number and an offset":           {&etcdstore.Checkpoint{SequenceNumber: new(int64(1)), Offset: new("8")}, 2},
		"a number":                         {&etcdstore.Checkpoint{SequenceNumber: new(int64(0))}, 3},
		"an offset":                        {&etcdstore.Checkpoint{Offset: new("14")}, 1},
		"all of it":                        {&etcdstore.Checkpoint{SequenceNumber: new(int64(3)), Offset: new("19")}, 0},
		"a number beyond the end":          {&etcdstore.Checkpoint{SequenceNumber: new(int64(9))}, 0},
		"an offset beyond the end":         {&etcdstore.Checkpoint{SequenceNumber: new(int64(1)), Offset: new("99")}, 2},
		"an offset within a line":          {&etcdstore.Checkpoint{Offset: new("3")}, 4},
		"an offset that is none of a file": {&etcdstore.Checkpoint{Offset: new("@1")}, 4},
	} {
		lines, err := FileBehind(t.Context(), folder, "a", c.after)
		require.NoError(t, err, name)
		require.Equal(t, c.want, lines, name)
	}
	_, err = FileBehind(t.Context(), folder, "b", nil)
	require.Error(t, err)
}
