package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/cmd/tenure/internal/cluster"
	"github.com/tenure-go/tenure/cmd/tenure/internal/consume"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/etcdstore/eventhubs"
)

const consumeHelp = `Print the events of an event hub, one JSON object a line, sharing its partitions with every other
process that consumes the same hub in the same consumer group and etcd. When one is killed, the
others take over within --ttl and a round of --update-interval or two, from its last checkpoints.

Each line has partition, sequence_number, offset, enqueued_time, key (the partition key),
properties, and body; a body that is no valid UTF-8 is in body_base64 instead, one that is no bytes
in body_value.

Only what was written to standard output without error is checkpointed ("> /dev/null" counts as
written, and so does a standard output that was closed), and into a pipe only what
its reader has taken (on Linux): every --checkpoint-count events of a partition, and
--checkpoint-interval after the first event that is not covered. Events can be printed twice, by the
next owner of a partition, but are not left out. When the reader of a pipe has gone, nothing is
checkpointed any more.

Each process needs an --owner-id of its own, which the default is: two with the same one read the same
partitions and take them from each other.

The first SIGINT or SIGTERM finishes what is being printed, checkpoints it and gives the partitions
up; the second ends at once.

The connection string comes from EVENTHUB_CONNECTION_STRING or --connection-string-file. With
--namespace the Azure identity of this machine is used instead (environment, workload identity,
managed identity, az login).`

// consumeFlags are the command's own.
type consumeFlags struct {
	hub                  consume.Hub
	connectionStringFile string
	from                 string
	ttl                  time.Duration
	updateInterval       time.Duration
	strategy             string
	checkpointCount      int
	checkpointInterval   time.Duration
	ownerGiven           bool
}

func (a *app) consumeCommand() *cobra.Command {
	var f consumeFlags
	command := &cobra.Command{
		Use:     "consume",
		Short:   "Print the events of an event hub, sharing its partitions with other processes",
		Long:    consumeHelp,
		Example: examples,
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			f.ownerGiven = command.Flags().Changed("owner-id")
			return a.consume(command.Context(), f)
		},
	}
	flags := command.Flags()
	flags.StringVar(&f.connectionStringFile, "connection-string-file", "", "`file` that holds the connection string")
	flags.StringVar(&f.hub.Namespace, "namespace", "",
		"`host` name of the namespace, to log in with this machine's Azure identity")
	flags.StringVar(&f.hub.EventHub, "event-hub", "",
		"`name` of the event hub (default: the connection string's EntityPath)")
	flags.StringVar(&f.hub.ConsumerGroup, "consumer-group", azeventhubs.DefaultConsumerGroup,
		"`name` of the consumer group")
	flags.StringVar(&f.from, "from", "earliest",
		"where partitions without a checkpoint begin: earliest, latest, offset:N, sequence:N, or a `time` (RFC 3339)")
	flags.StringVar(&f.hub.OwnerID, "owner-id", "", "`name` of this consumer; it must be its own (default: a random UUID)")
	flags.DurationVar(&f.ttl, "ttl", 10*time.Second, "how long the partitions of a process that died stay its own")
	flags.DurationVar(&f.updateInterval, "update-interval", 10*time.Second,
		"how often partitions are claimed and renewed (times 0.8 to 1.3)")
	flags.StringVar(&f.strategy, "strategy", string(azeventhubs.ProcessorStrategyBalanced),
		"balanced takes one partition a round of --update-interval: 32 partitions take a lone consumer some five minutes; "+
			"greedy takes all at once")
	flags.IntVar(&f.checkpointCount, "checkpoint-count", 1000, "checkpoint a partition after this many events")
	flags.DurationVar(&f.checkpointInterval, "checkpoint-interval", 5*time.Second,
		"checkpoint a partition this long after an event that is not covered")
	return command
}

// check reports all that is wrong with the flags together.
func (f *consumeFlags) check() error {
	var problems []error
	want := func(ok bool, format string, values ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, values...))
		}
	}
	_, err := consume.ParsePosition(f.from)
	want(err == nil, "--from: %w", err)
	if err := checkTTL(f.ttl); err != nil {
		problems = append(problems, err)
	}
	want(f.updateInterval > 0, "--update-interval must be above 0, not %v", f.updateInterval)
	strategies := []azeventhubs.ProcessorStrategy{
		azeventhubs.ProcessorStrategyBalanced, azeventhubs.ProcessorStrategyGreedy,
	}
	want(slices.Contains(strategies, azeventhubs.ProcessorStrategy(f.strategy)),
		"--strategy must be balanced or greedy, not %q", f.strategy)
	want(f.checkpointCount > 0, "--checkpoint-count must be at least 1, not %d", f.checkpointCount)
	want(f.checkpointInterval > 0, "--checkpoint-interval must be above 0, not %v", f.checkpointInterval)
	want(f.hub.ConsumerGroup != "", "--consumer-group is empty")
	want(f.hub.OwnerID != "" || !f.ownerGiven, "--owner-id is empty; leave it out for a random one")
	if len(problems) == 0 {
		return nil
	}
	return &problem.Error{Kind: problem.Usage, What: "wrong flags", Err: errors.Join(problems...)}
}

// connectionString takes the secret from its file or from the environment.
func (a *app) connectionString(f *consumeFlags) (string, error) {
	const variable = "EVENTHUB_CONNECTION_STRING"
	fromEnvironment, _ := a.lookup(variable)
	switch {
	case f.connectionStringFile != "" && f.hub.Namespace != "":
		return "", &problem.Error{Kind: problem.Usage, What: "--connection-string-file and --namespace exclude each other",
			Do: "A connection string names its namespace. Leave one of the two out."}
	case f.connectionStringFile != "":
		raw, err := os.ReadFile(f.connectionStringFile)
		if err != nil {
			return "", &problem.Error{Kind: problem.Usage, What: "--connection-string-file cannot be read", Err: err}
		}
		return strings.TrimSpace(string(raw)), nil
	case f.hub.Namespace != "" && fromEnvironment != "":
		a.log.Info("--namespace is given: " + variable + " is not used")
		return "", nil
	case fromEnvironment != "":
		a.log.Info("taken from the environment", zap.String("variable", variable))
	}
	return strings.TrimSpace(fromEnvironment), nil
}

func (a *app) consume(ctx context.Context, f consumeFlags) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	if f.hub.ConnectionString, err = a.connectionString(&f); err != nil {
		return err
	}
	if f.hub.OwnerID == "" {
		f.hub.OwnerID = uuid.NewString()
	}
	sdk := consume.ListenToSDK(a.log.Named("sdk"))
	client, err := f.hub.Client()
	if err != nil {
		return err
	}

	connected, err := a.connect(ctx)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer func() { err = errors.Join(err, connected.Close()) }()
	if err := connected.RequireSpace(); err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
		defer cancel()
		if err := client.Close(closing); err != nil {
			a.log.Debug("closing the Event Hubs client failed", zap.Error(err))
		}
	}()
	if err := client.Check(ctx, a.log); err != nil {
		return unlessEnded(ctx, err)
	}
	return a.consumeHub(ctx, f, connected, client, sdk)
}

// consumeHub holds the lease while it consumes.
func (a *app) consumeHub(
	ctx context.Context, f consumeFlags, connected *cluster.Cluster, client *consume.Client, sdk *consume.SDKLog,
) error {
	store, leave, err := a.openStore(ctx, connected, f.ttl)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer leave()
	err = consume.Run(ctx, consume.Config{
		Client: client,
		Store: eventhubs.New(store, &eventhubs.Options{
			IdleLimit: max(time.Minute, 4*f.updateInterval), Logger: a.log.Named("store"),
		}),
		Prefix:             a.etcd.Prefix,
		SDK:                sdk,
		From:               f.from,
		Strategy:           azeventhubs.ProcessorStrategy(f.strategy),
		UpdateInterval:     f.updateInterval,
		CheckpointCount:    f.checkpointCount,
		CheckpointInterval: f.checkpointInterval,
		Output:             a.stdout,
		Log:                a.log,
	})
	switch {
	case errors.Is(err, syscall.EPIPE):
		return errBrokenPipe
	case err != nil:
		return consume.ExplainEnd(connected.Explain(err))
	}
	return nil
}
