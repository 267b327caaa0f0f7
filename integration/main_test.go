package integration_test

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tenure-go/tenure/integration/internal/build"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

func TestMain(m *testing.M) {
	// azeventhubs/v2 v2.0.2 leaves the token renewer of a client's management link behind when the client is closed.
	status := etcdtest.Run(m, goleak.IgnoreTopFunction("github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/"+
		"internal.(*Namespace).startNegotiateClaimRenewer.func3"))
	if err := os.RemoveAll(binaryFolder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = max(status, 1)
	}
	os.Exit(status)
}

// binaryFolder holds the commands while the tests run. It is made with the first one that needs it.
var binaryFolder string

var makeFolder = sync.OnceValue(func() (err error) {
	binaryFolder, err = os.MkdirTemp("", "tenure-integration-")
	return err
})

// binary returns the path of the command, built from this tree.
func binary(t *testing.T) string {
	t.Helper()
	return built(t, buildCommand)
}

// cast returns the path of what plays the members of a group and of etcd, built from this tree.
func cast(t *testing.T) string {
	t.Helper()
	return built(t, buildCast)
}

var (
	buildCommand = sync.OnceValues(builder("cmd/tenure"))
	buildCast    = sync.OnceValues(builder(castCommand, slowDisk()...))
)

const castCommand = "integration/internal/member/cast"

func builder(command string, edits ...build.Edit) func() (string, error) {
	return func() (string, error) {
		if err := makeFolder(); err != nil {
			return "", err
		}
		dir, err := os.MkdirTemp(binaryFolder, "")
		if err != nil {
			return "", err
		}
		return build.Command(dir, command, edits...)
	}
}

func built(t *testing.T, build func() (string, error)) string {
	t.Helper()
	path, err := build()
	require.NoError(t, err)
	return path
}
