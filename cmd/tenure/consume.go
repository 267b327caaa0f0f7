package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/cmd/tenure/internal/consume"
	"github.com/tenure-go/tenure/cmd/tenure/internal/filestream"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/cmd/tenure/internal/status"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/etcdstore/eventhubs"
)

const consumeHelp = `Print the events of a stream, one JSON object a line, sharing its partitions with every other
process that consumes the same stream in the same group and etcd. They are shared evenly: one
process more takes its share from the others, which finish what they are printing before it goes
on, and one that ends leaves its share to them; neither repeats an event. When one is killed,
the others take over within --ttl, from its last checkpoints.

The stream is an event hub, or with --source files:DIR a folder: each file is a partition, each line
an event. Its files are followed as they grow, and new ones as they appear. All processes have to
see the same folder. The files may only grow: one that was truncated or replaced is not read on, and
the log says so. Hidden files, links and folders in it are not read, a line has at most 1 MiB, and
one without an end waits for it.

Each line printed has partition, sequence_number, offset and body; a body that is no valid UTF-8 is
in body_base64 instead. Event Hubs' also have enqueued_time, key (the partition key) and properties,
and a body that is no bytes is in body_value. A file's partition is its name, sequence_number counts
its lines from 0, and offset is the byte position behind the line.

Only what was written to standard output without error is checkpointed ("> /dev/null" counts as
written, and so does a standard output that was closed), and into a pipe only what its reader has
taken (on Linux): every --checkpoint-count events of a partition, and --checkpoint-interval after
the first event that is not covered. After a kill, events can be printed twice, by the next owner of
a partition, but none is left out. When the reader of a pipe has gone, nothing is checkpointed any
more.

--from is for partitions without a checkpoint. offset:N and sequence:N begin at the event that they
name; with files at byte N, where a line has to begin, and at line N. What is latest is settled, and
checkpointed, when a partition is first read.

Each process needs an --owner-id of its own, which the default is. One that another live process has
is refused. With --grace, a process that comes back under its own in time finds its partitions kept.

--balancer sdk has the Event Hubs SDK's Processor share the partitions out instead, as the stock
clients do: it polls, takes one partition a round unless it is greedy, and repeats events when one
moves. Both kinds can be at work in one group while a fleet is changed over.

The first SIGINT or SIGTERM finishes what is being printed, checkpoints it and gives the partitions
up; the second ends at once.

The connection string comes from EVENTHUB_CONNECTION_STRING or --connection-string-file. With
--namespace the Azure identity of this machine is used instead (environment, workload identity,
managed identity, az login).`

const consumeExamples = `  # Share a folder's files, each a partition, on an etcd that --dev brings. That is all.
  # Give the last command in a second terminal, too, and end one of the two with Ctrl-C.
  mkdir -p orders
  for i in 1 2 3 4; do echo "first of $i" >> orders/$i; done
  tenure consume --dev --source files:./orders --group orders/billing

  # Meanwhile, in a third
  while sleep 1; do for i in 1 2 3 4; do date >> orders/$i; done; done

  # Print the events of the hub orders, sharing its partitions with whoever else does the same
  export EVENTHUB_CONNECTION_STRING='Endpoint=sb://...'
  tenure consume --endpoints localhost:2379 --event-hub orders --consumer-group billing

  # The same without an etcd at hand
  tenure consume --dev --event-hub orders --consumer-group billing`

func (a *app) consumeCommand() *cobra.Command {
	var f consumeFlags
	command := &cobra.Command{
		Use:     "consume",
		Short:   "Print the events of an event hub or of files, sharing the partitions with other processes",
		Long:    consumeHelp,
		Example: consumeExamples,
		Args:    noArguments,
		RunE:    func(command *cobra.Command, _ []string) error { return a.consume(command.Context(), f) },
	}
	f.define(command.Flags())
	return command
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

func (a *app) consume(ctx context.Context, f consumeFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	f.hub.OwnerID = f.owner()
	served, err := a.serveStatus(ctx, f.metricsAddr)
	if err != nil {
		return err
	}
	defer served.Close()
	if folder, files := f.folder(); files {
		err = a.consumeFiles(ctx, f, folder, served)
	} else {
		err = a.consumeHub(ctx, f, served)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE):
		return errBrokenPipe
	}
	return explainMember(consume.ExplainEnd(err))
}

func (a *app) consumeFiles(ctx context.Context, f consumeFlags, path string, served *status.Server) error {
	folder, err := filestream.Open(path, a.log)
	if err != nil {
		return &problem.Error{Kind: problem.Usage, What: "--source " + f.source, Err: err,
			Do: "Name a folder that this user can read; one that is empty will do."}
	}
	return a.withStore(ctx, f.ttl, nil, func(store *etcdstore.Store) error {
		return consume.RunFiles(ctx, consume.FilesConfig{
			MemberConfig: a.memberConfig(&f, store, f.group, served), Folder: folder, From: f.from,
		})
	})
}

func (a *app) consumeHub(ctx context.Context, f consumeFlags, served *status.Server) (err error) {
	if f.hub.ConnectionString, err = a.connectionString(&f); err != nil {
		return err
	}
	sdk := consume.ListenToSDK(a.log.Named("sdk"))
	client, err := f.hub.Client()
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
		defer cancel()
		if err := client.Close(closing); err != nil {
			a.log.Debug("closing the Event Hubs client failed", zap.Error(err))
		}
	}()
	check := func() error { return client.Check(ctx, a.log) }
	return a.withStore(ctx, f.ttl, check, func(store *etcdstore.Store) error {
		if f.balancer == balancerNative {
			return consume.RunHub(ctx, consume.HubConfig{
				MemberConfig: a.memberConfig(&f, store, client.Group, served), Client: client, From: f.from,
			})
		}
		served.Tell(ofStore(store, client.Group))
		return consume.RunProcessor(ctx, consume.ProcessorConfig{
			Settings: a.settings(&f),
			Client:   client,
			Store: eventhubs.New(store, &eventhubs.Options{
				IdleLimit: max(time.Minute, 4*f.updateInterval), Logger: a.log.Named("store"),
			}),
			SDK:            sdk,
			From:           f.from,
			Strategy:       azeventhubs.ProcessorStrategy(f.strategy),
			UpdateInterval: f.updateInterval,
		})
	})
}

// withStore connects to etcd, has the rest checked that is needed, and holds a lease while it works.
func (a *app) withStore(
	ctx context.Context, ttl time.Duration, check func() error, work func(*etcdstore.Store) error,
) (err error) {
	connected, err := a.connect(ctx)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer func() { err = errors.Join(err, connected.Close()) }()
	if err := connected.RequireSpace(); err != nil {
		return err
	}
	if check != nil {
		if err := check(); err != nil {
			return unlessEnded(ctx, err)
		}
	}
	store, leave, err := a.openStore(ctx, connected, ttl)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer leave()
	return connected.Explain(work(store))
}

func (a *app) settings(f *consumeFlags) consume.Settings {
	return consume.Settings{
		CheckpointCount:    f.checkpointCount,
		CheckpointInterval: f.checkpointInterval,
		Output:             a.stdout,
		Log:                a.log,
	}
}

func (a *app) memberConfig(
	f *consumeFlags, store *etcdstore.Store, group etcdstore.Group, served *status.Server,
) consume.MemberConfig {
	return consume.MemberConfig{
		Settings: a.settings(f),
		Store:    store,
		Group:    group,
		Balancer: f.options(a.log),
		Made:     func(member *balancer.Member) { served.Tell(ofMember(member)) },
	}
}

// explainMember says in words why a member cannot work in its group.
func explainMember(err error) error {
	inUse, ok := errors.AsType[*etcdstore.OwnerInUseError](err)
	if !ok {
		return err
	}
	return &problem.Error{
		Kind: problem.Usage,
		What: fmt.Sprintf("--owner-id %q is that of a live process in this group, which started at %s",
			inUse.Member.OwnerID, inUse.Member.StartedAt.Format(time.RFC3339)),
		Do: "Give each process an --owner-id of its own, or leave it out for a random one.",
	}
}
