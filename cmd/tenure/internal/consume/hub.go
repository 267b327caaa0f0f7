package consume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/etcdstore"
)

// hubTimeout bounds the first question to the service. The SDK's own retries would go on for minutes.
const hubTimeout = 30 * time.Second

// reachTimeout bounds the way to the service's port, and reachPause is between two tries: a network that comes up with
// this process may take a moment.
const (
	reachTimeout = 5 * time.Second
	reachPause   = 500 * time.Millisecond
)

// The ports where AMQP is spoken, with TLS and, by an emulator, without.
const (
	portTLS   = "5671"
	portPlain = "5672"
)

// Hub says which event hub to consume, as which consumer.
type Hub struct {
	// ConnectionString is a secret. Namespace is used where it is empty, with the environment's Azure credential.
	ConnectionString string
	Namespace        string

	// EventHub may be empty where the connection string has an EntityPath.
	EventHub      string
	ConsumerGroup string

	// OwnerID names the consumer. Empty means a random UUID.
	OwnerID string
}

// Client makes the client, without connecting. Mistakes in the settings are each a [problem.Error].
func (h Hub) Client() (*Client, error) {
	options := &azeventhubs.ConsumerClientOptions{ApplicationID: "tenure", InstanceID: h.OwnerID}
	usage := func(what, do string) error { return &problem.Error{Kind: problem.Usage, What: what, Do: do} }
	if h.ConnectionString == "" {
		switch {
		case h.Namespace == "":
			return nil, usage("no Event Hubs namespace is given", "Put a connection string into "+
				"EVENTHUB_CONNECTION_STRING or a file for --connection-string-file, or give --namespace to log in with "+
				"this machine's Azure identity.")
		case !strings.Contains(h.Namespace, ".") || strings.ContainsAny(h.Namespace, "/;="):
			return nil, usage("--namespace is not a host name",
				"Write it in full, such as NAME.servicebus.windows.net.")
		case h.EventHub == "":
			return nil, usage("no event hub is given", "Name it with --event-hub.")
		}
		credential, err := azidentity.NewDefaultAzureCredential(nil)
		if err != nil {
			return nil, &problem.Error{Kind: problem.EventHubs, What: "there is no Azure identity to log in with", Err: err}
		}
		client, err := azeventhubs.NewConsumerClient(h.Namespace, h.EventHub, h.ConsumerGroup, credential, options)
		if err != nil {
			return nil, fmt.Errorf("make the Event Hubs client: %w", err)
		}
		return &Client{client, h.group(h.Namespace, h.EventHub), withPort(h.Namespace, portTLS)}, nil
	}

	parsed, err := azeventhubs.ParseConnectionString(h.ConnectionString)
	if err != nil {
		// Not with the SDK's words: where a semicolon is missing, they can quote a key.
		return nil, unreadable(h.ConnectionString)
	}
	name, asked := h.EventHub, h.EventHub
	if parsed.EntityPath != nil {
		if h.EventHub != "" && !strings.EqualFold(h.EventHub, *parsed.EntityPath) {
			return nil, usage(
				fmt.Sprintf("--event-hub is %q but the connection string is for %q", h.EventHub, *parsed.EntityPath),
				"Leave out --event-hub, or use the connection string of that hub or of the namespace.")
		}
		name, asked = *parsed.EntityPath, ""
	}
	if name == "" {
		return nil, usage("no event hub is given",
			"Name it with --event-hub, or use the connection string of a hub, which ends in EntityPath=...")
	}
	client, err := azeventhubs.NewConsumerClientFromConnectionString(h.ConnectionString, asked, h.ConsumerGroup, options)
	if err != nil {
		return nil, unreadable(h.ConnectionString)
	}
	port := portTLS
	if parsed.Emulator {
		port = portPlain
	}
	namespace := parsed.FullyQualifiedNamespace
	return &Client{client, h.group(namespace, name), withPort(namespace, port)}, nil
}

func (h Hub) group(namespace, hub string) etcdstore.Group {
	return etcdstore.Group{FullyQualifiedNamespace: namespace, EventHubName: hub, ConsumerGroup: h.ConsumerGroup}
}

// withPort adds the port to a host that has none.
func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// unreadable says what seems to be wrong with a connection string without showing any of it.
func unreadable(connectionString string) error {
	var missing string
	do := "Copy it anew, whole and without quotation marks: Endpoint=sb://NAME.servicebus.windows.net/;" +
		"SharedAccessKeyName=...;SharedAccessKey=..."
	folded := strings.ToLower(connectionString)
	for _, part := range []string{"Endpoint", "SharedAccessKeyName", "SharedAccessKey"} {
		if !strings.Contains(";"+folded, ";"+strings.ToLower(part)+"=") {
			missing = ": it has no part " + part + "="
			break
		}
	}
	if strings.Contains(folded, "accountkey=") {
		do = "It seems to be that of a storage account; needed is that of the Event Hubs namespace or hub."
	}
	return &problem.Error{Kind: problem.Usage, What: "the connection string cannot be read" + missing, Do: do}
}

// Client is an SDK client and what it was made for.
type Client struct {
	*azeventhubs.ConsumerClient

	Group etcdstore.Group

	address string // the namespace's host and port
}

// Check asks the service about the hub, so that whatever it objects to is known before any work begins, as a
// [problem.Error].
func (c *Client) Check(ctx context.Context, log *zap.Logger) error {
	log.Info("connecting to Event Hubs", zap.String("address", c.address), zap.String("event_hub", c.Group.EventHubName))
	if err := c.reach(ctx, reachTimeout, log); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, hubTimeout)
	defer cancel()
	if _, err := c.GetEventHubProperties(bounded, nil); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return c.explain(err)
	}
	return nil
}

// reach opens a connection and closes it again. The SDK would keep the cause to itself, and try for long.
func (c *Client) reach(ctx context.Context, limit time.Duration, log *zap.Logger) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var cause error
	for {
		connection, err := (&net.Dialer{}).DialContext(bounded, "tcp", c.address)
		if err == nil {
			_ = connection.Close() // Nothing was written to it.
			return nil
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("connect to %s: %w", c.address, ctx.Err())
		case cause == nil:
			cause = err
			log.Warn("Event Hubs cannot be reached; trying again for a moment", zap.Error(err), zap.Duration("limit", limit))
		case bounded.Err() == nil:
			cause = err // A try that the limit cut short tells less than the one before.
		}
		select {
		case <-time.After(reachPause):
		case <-bounded.Done():
			return c.explain(cause)
		}
	}
}

// explain says in words what the service, or the way to it, objects to.
func (c *Client) explain(err error) error {
	trouble := func(what, do string) error {
		return &problem.Error{Kind: problem.EventHubs, What: what, Do: do, Err: err}
	}
	hub, namespace := c.Group.EventHubName, c.Group.FullyQualifiedNamespace
	var unknownHost *net.DNSError
	var login *azidentity.AuthenticationFailedError
	var service *azeventhubs.Error
	switch {
	case isNotFound(err):
		return trouble(fmt.Sprintf("there is no event hub %q in %s", hub, namespace),
			"Check --event-hub, or the EntityPath.")
	case errors.As(err, &login), strings.Contains(err.Error(), "DefaultAzureCredential"):
		return trouble("no Azure identity could be used", "Log in (az login), or set up a managed or workload identity; "+
			"or use a connection string.")
	case errors.As(err, &service) && service.Code == azeventhubs.ErrorCodeUnauthorizedAccess:
		return trouble(fmt.Sprintf("%s does not let this client listen to %q", namespace, hub),
			"Check the key in the connection string, which needs the Listen right; an identity needs the role "+
				"Azure Event Hubs Data Receiver.")
	case errors.As(err, &unknownHost):
		return trouble(fmt.Sprintf("the name %s cannot be resolved", c.Group.FullyQualifiedNamespace),
			"Check the namespace and this machine's DNS.")
	case errors.Is(err, syscall.ECONNREFUSED):
		return trouble("nothing listens at "+c.address,
			"Check the namespace and its port, and that the service or the emulator runs.")
	case isNetwork(err):
		return trouble(c.address+" cannot be reached", "Check the namespace, and that no firewall is in the way.")
	case errors.Is(err, context.DeadlineExceeded):
		return trouble(fmt.Sprintf("%s takes connections but did not answer within %v", c.address, hubTimeout),
			"Check that what listens there is Event Hubs, and the network between: --log-level debug tells what the SDK tried.")
	}
	return trouble(fmt.Sprintf("event hub %q in %s cannot be used", hub, namespace), "")
}

// isNotFound looks for the service's two ways to say so: the status of a management answer, whose type the SDK does not
// export but whose method it does, and the condition of a refused link.
func isNotFound(err error) bool {
	var answer interface{ RPCCode() int }
	return errors.As(err, &answer) && answer.RPCCode() == http.StatusNotFound ||
		strings.Contains(err.Error(), "amqp:not-found")
}

// isNetwork reports whether a connection failed. It does not ask for [net.Error], which the system's errors of every
// kind and time-outs of etcd satisfy too.
func isNetwork(err error) bool {
	var operation *net.OpError
	var unknownHost *net.DNSError
	var service *azeventhubs.Error
	return errors.As(err, &operation) || errors.As(err, &unknownHost) ||
		errors.As(err, &service) && service.Code == azeventhubs.ErrorCodeConnectionLost
}

// ExplainEnd says in words why consuming an open hub ended by itself.
func ExplainEnd(err error) error {
	if _, known := errors.AsType[*problem.Error](err); known {
		return err
	}
	var service *azeventhubs.Error
	switch {
	case errors.Is(err, errOutput):
		return outputProblem(err)
	case isNotFound(err), isNetwork(err), errors.As(err, &service):
		return &problem.Error{Kind: problem.EventHubs, What: "Event Hubs can no longer be consumed", Err: err,
			Do: "Partitions are with the other consumers, if there are any. Start again when the service can be reached."}
	}
	return err
}

func outputProblem(err error) error {
	do := "What was not written is not checkpointed; start again when it can be written."
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		do = "What was not written is not checkpointed; start again when there is room."
	}
	// Only the cause: the file's name is of no use, since the process did not choose it.
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		err = file.Err
	}
	return &problem.Error{Kind: problem.Failure, What: "standard output cannot be written", Err: err, Do: do}
}
