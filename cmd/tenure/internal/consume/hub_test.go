package consume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/etcdstore"
)

//nolint:gosec // It opens nothing.
const (
	secret = "c2VjcmV0LWtleQ=="
	whole  = "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=" + secret
)

func TestHubSettings(t *testing.T) {
	t.Parallel()
	keyed := func(text string) Hub { return Hub{ConnectionString: text + secret} }
	for name, test := range map[string]struct {
		hub   Hub
		words string
	}{
		"nothing":                 {Hub{}, "EVENTHUB_CONNECTION_STRING"},
		"namespace without a hub": {Hub{Namespace: "ns.servicebus.windows.net"}, "--event-hub"},
		"short namespace":         {Hub{Namespace: "ns", EventHub: "orders"}, "Write it in full"},
		"namespace as a URL":      {Hub{Namespace: "sb://ns.servicebus.windows.net", EventHub: "o"}, "not a host name"},
		"no hub":                  {Hub{ConnectionString: whole}, "--event-hub"},
		"another hub": {
			Hub{ConnectionString: whole + ";EntityPath=a", EventHub: "b"}, `"b" but the connection string is for "a"`,
		},
		"garbage":     {keyed(""), "no part Endpoint="},
		"no key name": {keyed("Endpoint=sb://a.b/;SharedAccessKey="), "no part SharedAccessKeyName="},
		"semicolon missing": {
			keyed("Endpoint=sb://a.b/SharedAccessKeyName=n;SharedAccessKey="), "no part SharedAccessKeyName=",
		},
		"semicolon missing at the end": {
			keyed("Endpoint=sb://a.b/;SharedAccessKeyName=n;UseDevelopmentEmulator=true SharedAccessKey="),
			"no part SharedAccessKey=",
		},
		"key in the emulator flag": {keyed(whole + ";UseDevelopmentEmulator="), "cannot be read"},
		"key in the endpoint": {
			keyed("SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;Endpoint=http://"), "cannot be read",
		},
		"quoted":          {Hub{ConnectionString: `"` + whole + `"`}, "without quotation marks"},
		"storage account": {keyed("DefaultEndpointsProtocol=https;AccountName=a;AccountKey="), "storage account"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := test.hub.Client()
			require.ErrorContains(t, err, test.words)
			require.Equal(t, problem.Usage, problem.KindOf(err))
			require.NotContains(t, err.Error(), secret)
		})
	}
	for name, hub := range map[string]Hub{
		"hub by flag":        {ConnectionString: whole, EventHub: "orders"},
		"hub by string":      {ConnectionString: whole + ";EntityPath=orders"},
		"hub by both":        {ConnectionString: whole + ";EntityPath=orders", EventHub: "Orders"},
		"hub with identity":  {Namespace: "ns.servicebus.windows.net", EventHub: "orders"},
		"string of the page": {ConnectionString: whole + ";", EventHub: "orders"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hub.OwnerID = "me"
			client, err := hub.Client()
			require.NoError(t, err)
			require.Equal(t, "orders", client.Group.EventHubName)
			require.Equal(t, "ns.servicebus.windows.net", client.Group.FullyQualifiedNamespace)
			require.Equal(t, "me", client.InstanceID())
		})
	}
}

// answered is an error of the SDK's internal type for a management answer.
type answered struct{ code int }

func (a answered) Error() string { return fmt.Sprintf("rpc: failed, status code %d", a.code) }
func (a answered) RPCCode() int  { return a.code }

func ordersIn(namespace string) etcdstore.Group {
	return etcdstore.Group{FullyQualifiedNamespace: namespace, EventHubName: "orders"}
}

func TestServiceErrors(t *testing.T) {
	t.Parallel()
	client := &Client{Group: ordersIn("ns.servicebus.windows.net"), address: "ns:5671"}
	for words, err := range map[string]error{
		`there is no event hub "orders" in ns.servicebus.windows.net`: answered{404},
		"Check --event-hub":               errors.New("*Error{Condition: amqp:not-found}"),
		"cannot be resolved":              &net.DNSError{Err: "no such host", Name: "ns"},
		"did not answer within 30s":       context.DeadlineExceeded,
		"nothing listens at ns:5671":      &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		"ns:5671 cannot be reached":       &net.OpError{Op: "dial", Err: errors.New("no route")},
		"az login":                        errors.New("DefaultAzureCredential: failed to acquire a token"),
		"cannot be used: something else":  errors.New("something else"),
		"cannot be used: rpc: failed, st": answered{500},
	} {
		got := client.explain(fmt.Errorf("wrapped: %w", err))
		if words == "cannot be used: something else" || words == "cannot be used: rpc: failed, st" {
			got = client.explain(err)
		}
		require.ErrorContains(t, got, words)
		require.Equal(t, problem.EventHubs, problem.KindOf(got))
		require.ErrorIs(t, got, err)
	}
}

func TestWhyConsumingEnded(t *testing.T) {
	t.Parallel()
	lost := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	require.Equal(t, problem.EventHubs, problem.KindOf(ExplainEnd(fmt.Errorf("the processor stopped: %w", lost))))
	for _, other := range []error{
		errors.New("something else"), context.DeadlineExceeded, &problem.Error{Kind: problem.Etcd, Err: lost},
	} {
		require.Equal(t, other, ExplainEnd(other))
	}
	cause := &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
	full := ExplainEnd(fmt.Errorf("%w: %w", errOutput, cause))
	require.Equal(t, problem.Failure, problem.KindOf(full))
	require.EqualError(t, full, "standard output cannot be written: no space left on device\n"+
		"  What was not written is not checkpointed; start again when there is room.")
	require.ErrorContains(t, ExplainEnd(fmt.Errorf("%w: %w", errOutput, syscall.EIO)), "when it can be written")
}

func TestReach(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	client := &Client{Group: ordersIn("127.0.0.1"), address: listener.Addr().String()}
	require.NoError(t, client.reach(t.Context(), time.Minute, zap.NewNop()))
	require.NoError(t, listener.Close())

	core, logged := observer.New(zap.WarnLevel)
	err = client.reach(t.Context(), 100*time.Millisecond, zap.New(core))
	require.ErrorContains(t, err, "nothing listens at "+client.address)
	require.Equal(t, problem.EventHubs, problem.KindOf(err))
	require.Equal(t, 1, logged.Len())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, client.reach(ended, time.Minute, zap.NewNop()), context.Canceled)
}

func TestPorts(t *testing.T) {
	t.Parallel()
	for connectionString, address := range map[string]string{
		whole: "ns.servicebus.windows.net:5671",
		"Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true":      "localhost:5672",
		"Endpoint=sb://localhost:7000;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true": "localhost:7000",
		"Endpoint=sb://[::1];SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true":          "[::1]:5672",
	} {
		client, err := Hub{ConnectionString: connectionString, EventHub: "orders"}.Client()
		require.NoError(t, err)
		require.Equal(t, address, client.address)
	}
}
