package integration_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whoever imports the libraries inherits a client, and neither the embedded server nor what only the command and the
// tests need.
func TestLibrariesDoNotLinkTheServer(t *testing.T) {
	t.Parallel()
	const module = "github.com/tenure-go/tenure"
	deps := func(packages ...string) []string {
		args := append([]string{"list", "-deps"}, packages...)
		out, err := exec.CommandContext(t.Context(), "go", args...).Output()
		require.NoError(t, err)
		return strings.Fields(string(out))
	}
	unwanted := func(deps []string) (found []string) {
		for _, dep := range deps {
			for _, tree := range []string{
				"go.etcd.io/etcd/server", "go.etcd.io/bbolt", "go.etcd.io/raft", "github.com/spf13/cobra", "testing",
				"github.com/stretchr/testify", module + "/cmd", module + "/integration", module + "/internal/etcdtest",
			} {
				if strings.HasPrefix(dep+"/", tree+"/") {
					found = append(found, dep)
				}
			}
		}
		return found
	}

	libraries := []string{
		module + "/lease", module + "/etcdstore", module + "/etcdstore/eventhubs",
		module + "/balancer", module + "/balancer/plan", module + "/balancer/eventhubs",
	}
	found := deps(libraries...)
	require.Subset(t, found, append(libraries, "go.etcd.io/etcd/client/v3"))
	require.Empty(t, unwanted(found))

	require.NotContains(t, deps(module+"/lease", module+"/etcdstore", module+"/balancer"),
		"github.com/Azure/azure-sdk-for-go/sdk/azcore")
	for _, dep := range deps(module + "/balancer/plan") {
		if dep != module+"/balancer/plan" {
			require.NotContains(t, dep, ".", "the plan needs nothing but Go")
		}
	}

	// The command does start a server: what is looked for is what would be found.
	require.Contains(t, unwanted(deps(module+"/cmd/tenure")), "go.etcd.io/etcd/server/v3/embed")
}
