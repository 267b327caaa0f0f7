package consume

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
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
			require.Equal(t, "orders", client.hub)
			require.Equal(t, "ns.servicebus.windows.net", client.namespace)
			require.Equal(t, "me", client.InstanceID())
		})
	}
}

// answered is an error of the SDK's internal type for a management answer.
type answered struct{ code int }

func (a answered) Error() string { return fmt.Sprintf("rpc: failed, status code %d", a.code) }
func (a answered) RPCCode() int  { return a.code }

func TestServiceErrors(t *testing.T) {
	t.Parallel()
	client := &Client{namespace: "ns.servicebus.windows.net", hub: "orders"}
	for words, err := range map[string]error{
		`there is no event hub "orders" in ns.servicebus.windows.net`: answered{404},
		"Check --event-hub":               errors.New("*Error{Condition: amqp:not-found}"),
		"cannot be resolved":              &net.DNSError{Err: "no such host", Name: "ns"},
		"cannot be reached":               context.DeadlineExceeded,
		"port 5671":                       &net.OpError{Op: "dial", Err: errors.New("refused")},
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
	require.Equal(t, problem.EventHubs, problem.KindOf(ExplainEnd(context.DeadlineExceeded)))
	other := errors.New("something else")
	require.Equal(t, other, ExplainEnd(other))
}
