package eventhubs

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

// TestMain leaves out the example where there is no Node 20, which runs the stand-in for Event Hubs. What needs it
// besides is tested in integration.
func TestMain(m *testing.M) {
	if exec.Command("node", "--eval", "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)").Run() != nil {
		fmt.Fprintln(os.Stderr, "the example is not run: it needs Node 20 or later")
		flag.Parse()
		if err := flag.Set("test.skip", "^Example$"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m,
		// azeventhubs/v2 v2.0.2 leaves the token renewer of a client's management link behind when the client is closed.
		goleak.IgnoreTopFunction("github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/internal."+
			"(*Namespace).startNegotiateClaimRenewer.func3"))
}
