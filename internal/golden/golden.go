// Package golden compares what people are shown with files under testdata, so that changes of it are seen and meant.
package golden

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Require demands that got is what the file of that name under testdata holds. TENURE_GOLDEN=write writes the file
// anew, to be looked at.
func Require(tb testing.TB, name, got string) {
	tb.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("TENURE_GOLDEN") == "write" {
		require.NoError(tb, os.MkdirAll("testdata", 0o750))
		require.NoError(tb, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file) //nolint:gosec // A test's own file.
	require.NoError(tb, err)
	require.Equal(tb, string(want), got)
}
