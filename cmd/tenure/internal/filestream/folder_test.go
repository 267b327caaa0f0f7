package filestream

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

func TestPartitionsAreTheFiles(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	names, err := s.folder.Partitions(t.Context())
	require.NoError(t, err)
	require.Empty(t, names, "an empty folder is a stream without partitions")

	for _, name := range []string{"b", "a.log", ".hidden", "Ü b%"} {
		s.appendTo(name, "")
	}
	require.NoError(t, os.Mkdir(s.path("folder"), 0o700))
	require.NoError(t, os.Symlink(s.path("b"), s.path("link")))
	names, err = s.folder.Partitions(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"a.log", "b", "Ü b%"}, names)

	require.NoError(t, os.RemoveAll(s.dir))
	_, err = s.folder.Partitions(t.Context())
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestNamesThatNoPartitionCanHaveAreToldOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if err := os.WriteFile(s.path("bad\xff"), nil, 0o600); err != nil {
		t.Skipf("this system has no such names: %v", err)
	}
	s.appendTo("good", "")
	for range 3 {
		names, err := s.folder.Partitions(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"good"}, names)
	}
	require.Equal(t, 1, s.logged.Len())
	require.Equal(t, `"bad\xff"`, s.logged.All()[0].ContextMap()["file"])
}

func TestWhatIsNoFolder(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.appendTo("file", "")
	_, err := Open(s.path("file"), zap.NewNop())
	require.EqualError(t, err, s.path("file")+" is no folder")
	_, err = Open(s.path("none"), zap.NewNop())
	require.EqualError(t, err, "look at the folder "+s.path("none")+": no such file or directory")
}
