package standin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tenure-go/tenure/integration/internal/standin"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// azeventhubs/v2 v2.0.2 leaves its token renewer behind when a link is refused.
		goleak.IgnoreTopFunction("github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/internal."+
			"(*Namespace).startNegotiateClaimRenewer.func3"))
}

// TestServerItself runs the tests that the server has of its own: selectors, and what the SDK cannot ask for.
func TestServerItself(t *testing.T) {
	t.Parallel()
	standin.Start(t, standin.Options{}).Stop() // installs the packages, or skips
	cmd := exec.CommandContext(testContext(t), "node", "--test")
	cmd.Dir = "../../standin"
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// testContext ends before the test binary's own time-out would, so that a test that hangs says where.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// retry makes the SDK try again at once and not after seconds.
var retry = azeventhubs.RetryOptions{RetryDelay: 10 * time.Millisecond, MaxRetryDelay: 100 * time.Millisecond}

// noRetry makes the SDK hand on the first error.
var noRetry = azeventhubs.RetryOptions{MaxRetries: -1}

func newConsumer(
	t *testing.T, server *standin.Server, hub, group string, retry azeventhubs.RetryOptions,
) *azeventhubs.ConsumerClient {
	t.Helper()
	client, err := azeventhubs.NewConsumerClientFromConnectionString(server.ConnectionString(), hub, group,
		&azeventhubs.ConsumerClientOptions{RetryOptions: retry})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close(context.Background())) })
	return client
}

func newReceiver(
	t *testing.T, client *azeventhubs.ConsumerClient, partition string, options azeventhubs.PartitionClientOptions,
) *azeventhubs.PartitionClient {
	t.Helper()
	receiver, err := client.NewPartitionClient(partition, &options)
	require.NoError(t, err)
	// A link whose connection has been cut or that has been refused cannot be closed well.
	t.Cleanup(func() { _ = receiver.Close(context.Background()) })
	return receiver
}

// receive returns exactly count events. The SDK may return fewer at a time.
func receive(t *testing.T, receiver *azeventhubs.PartitionClient, count int) []*azeventhubs.ReceivedEventData {
	t.Helper()
	ctx := testContext(t)
	var events []*azeventhubs.ReceivedEventData
	for len(events) < count {
		next, err := receiver.ReceiveEvents(ctx, count-len(events), nil)
		require.NoError(t, err)
		events = append(events, next...)
	}
	return events
}

// requireGenerated fails unless the events are the partition's generated ones from sequence number first on.
func requireGenerated(t *testing.T, partition string, first int64, events []*azeventhubs.ReceivedEventData) {
	t.Helper()
	for i, event := range events {
		var body standin.Body
		require.NoError(t, json.Unmarshal(event.Body, &body))
		require.Equal(t, standin.Body{Partition: partition, N: first + int64(i)}, body)
		require.Equal(t, body.N, event.SequenceNumber)
	}
}

// requireLinks waits until the partition has so many receivers.
func requireLinks(t *testing.T, server *standin.Server, partition, links int) {
	t.Helper()
	require.Eventually(t, func() bool { return server.Stats()[partition].Links == links },
		time.Minute, 5*time.Millisecond)
}

func requireCode(t *testing.T, err error, code azeventhubs.ErrorCode) {
	t.Helper()
	var hubError *azeventhubs.Error
	require.ErrorAs(t, err, &hubError)
	require.Equal(t, code, hubError.Code)
}

const childVariable = "STANDIN_TEST_CHILD"

// TestEndsWithItsParent kills the process that started a server: the server must not be left behind.
func TestEndsWithItsParent(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		server := standin.Start(t, standin.Options{})
		_, err := os.Stdout.WriteString(server.Address() + "\n")
		require.NoError(t, err)
		<-t.Context().Done() // until it is killed
		return
	}
	t.Parallel()
	standin.Start(t, standin.Options{}).Stop() // skips where the child would
	child := exec.CommandContext(testContext(t), os.Args[0], "-test.run=^TestEndsWithItsParent$")
	child.Env = append(os.Environ(), childVariable+"=1")
	stdout, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	address := strings.TrimSpace(line)
	require.True(t, listening(t, address))
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	require.Eventually(t, func() bool { return !listening(t, address) }, time.Minute, 10*time.Millisecond)
}

func listening(t *testing.T, address string) bool {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
