package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
)

func TestJudgeVersion(t *testing.T) {
	t.Parallel()
	const refused, warned, fine = "refused", "warned", "fine"
	for version, want := range map[string]string{
		"2.3.8": refused, "3.3.27": refused, "3.4.37": refused, "3.5.0-rc.1": refused, "": refused, "not a version": refused,
		"3.5.0": warned, "3.5.32": warned, "3.6.0": warned, "3.6.13": warned, "3.7.0": warned, "3.7.1-rc.0": warned,
		"3.5.33": fine, "3.5.34": fine, "3.6.14": fine, "3.7.1": fine, "3.7.3": fine, "3.8.0": fine, "4.7.0": fine,
	} {
		advice, err := JudgeVersion("http://etcd:2379", version)
		switch want {
		case refused:
			require.Equal(t, problem.Etcd, problem.KindOf(err), version)
			require.ErrorContains(t, err, "http://etcd:2379")
			require.ErrorContains(t, err, "3.5.0 or newer")
		case warned:
			require.NoError(t, err, version)
			require.Contains(t, advice, "CVE-2026-33343", version)
		case fine:
			require.NoError(t, err, version)
			require.Empty(t, advice, version)
		}
	}
}
