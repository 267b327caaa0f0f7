package integration_test

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tenure-go/tenure/integration/internal/fleet"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

func TestMain(m *testing.M) {
	etcdtest.RunMember()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		if err := os.RemoveAll(binaryFolder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = max(status, 1)
		}
		os.Exit(status)
	}),
		// azeventhubs/v2 v2.0.2 leaves the token renewer of a client's management link behind when the client is closed.
		goleak.IgnoreTopFunction("github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/internal."+
			"(*Namespace).startNegotiateClaimRenewer.func3"))
}

// binaryFolder holds the command while the tests run. It is made with the first one that needs it.
var binaryFolder string

var buildOnce = sync.OnceValues(func() (string, error) {
	var err error
	if binaryFolder, err = os.MkdirTemp("", "tenure-integration-"); err != nil {
		return "", err
	}
	return fleet.Build(binaryFolder)
})

// binary returns the path of the command, built from this tree.
func binary(t *testing.T) string {
	t.Helper()
	path, err := buildOnce()
	require.NoError(t, err)
	return path
}
