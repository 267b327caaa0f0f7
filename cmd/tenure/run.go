package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/cmd/tenure/internal/supervise"
	"github.com/tenure-go/tenure/etcdstore"
)

const runHelp = `Run one process of a program for each partition that this process owns, sharing the partitions with
every other "tenure run" of the same group and etcd, on this machine and others. What etcdctl lock
is to one job, this is to a partitioned one: of each partition one worker runs, and when its machine
dies another one starts elsewhere, from where it left off.

A worker is any program. Its environment tells it what it is for:
    TENURE_WORKER_GROUP            such as local/orders/billing
    TENURE_WORKER_PARTITION        the partition's id
    TENURE_WORKER_OWNER_ID         this process's --owner-id
    TENURE_WORKER_FENCE            a number that grows from owner to owner
    TENURE_WORKER_SEQUENCE_NUMBER  the checkpoint to go on from; both are unset
    TENURE_WORKER_OFFSET           where there is none
It reports how far it has come in lines on descriptor 3, such as {"sequence_number":7} or
{"offset":"1234"}, and may read on descriptor 4 what became of them: durable, rejected, unknown or
invalid, and the line's number. docs/worker-protocol.md has the whole of it, and workers in shell,
Python and Node. A worker that has nothing to report needs to know none of this.

When its partition moves, a worker gets SIGTERM and has --drain-timeout to end in whatever way, then
SIGKILL. Only when it has ended and descriptor 3 has been read to its end does the next one start.
Status 0 without having been asked means that the partition is finished: no worker is started for it
again until its owner changes. Any other end is a failure: it is started again after 1 s, 2 s, ... 1
min, and after five failures in a row by another process, while there is one.

No worker runs longer than its lease: each runs under a small process that kills its process group
when the lease can no longer be trusted, whatever has become of this one. A worker that leaves its
process group escapes that.

The first SIGINT or SIGTERM drains all workers and gives the partitions up; the second ends at once,
workers included. Workers do not get what the terminal sends: they lead process groups of their own.

Exit status, besides those of all commands: 126 if the program cannot be executed, 127 if there is
none of that name. The statuses of workers are in the log.`

const runExamples = `  # Sixteen partitions, shared by as many of these as you start, in any number of terminals
  tenure run --dev --group orders/billing --partitions 16 -- ./worker

  # Partitions that have names, three of them at most here, on the cluster's etcd
  tenure run --endpoints localhost:2379 --group orders/billing --partition-ids eu,us,asia --capacity 3 -- ./worker

  # A worker in a line of shell: it counts, and goes on counting wherever it is started next
  tenure run --dev --group demo/count --partitions 4 -- sh -c '
    n=${TENURE_WORKER_SEQUENCE_NUMBER:-0}
    while sleep 1; do n=$((n + 1)); echo "I am at $n"; echo "{\"sequence_number\":$n}" >&3; done'`

// What --output takes.
const (
	outputPrefix = "prefix"
	outputRaw    = "raw"
)

// maxPartitions is how many --partitions may be: as many as fit into one record of etcd, by far.
const maxPartitions = 100_000

// runFlags are the command's own.
type runFlags struct {
	memberFlags

	groupText    string
	group        etcdstore.Group
	partitions   int
	partitionIDs []string
	output       string
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	command := &cobra.Command{
		Use:     "run --group GROUP --partitions N [flags] [--] PROGRAM [ARGUMENT...]",
		Short:   "Run a process of any program for each partition, shared with other machines",
		Long:    runHelp,
		Example: runExamples,
		RunE: func(command *cobra.Command, args []string) error {
			if err := f.check(command.Flags().Changed, args); err != nil {
				return err
			}
			return a.run(command.Context(), f, args)
		},
		DisableFlagsInUseLine: true,
	}
	flags := command.Flags()
	flags.SetInterspersed(false) // What comes after the program is the program's.
	flags.StringVar(&f.groupText, "group", "", groupUsage)
	flags.IntVar(&f.partitions, "partitions", 0, "how many partitions there are, with the ids 0, 1, 2, ...")
	flags.StringSliceVar(&f.partitionIDs, "partition-ids", nil, "the partitions' `ids` instead, separated by commas")
	f.defineOwner(flags)
	f.defineShare(flags, "", 30*time.Second, "end after SIGTERM before it gets SIGKILL")
	flags.StringVar(&f.output, "output", outputPrefix,
		"prefix puts the partition before each line that a worker prints; raw passes all through as it is")
	return command
}

// check reports all that is wrong with the flags together.
func (f *runFlags) check(given func(flag string) bool, args []string) error {
	p := &problems{given: given}
	if f.groupText == "" {
		p.addf("--group is needed, for the processes that share the partitions to find each other by, " +
			"such as --group orders/billing")
	} else {
		f.group = p.group(f.groupText)
	}
	switch {
	case given("partitions") && given("partition-ids"):
		p.addf("--partitions and --partition-ids exclude each other; leave one of the two out")
	case given("partition-ids"):
		sorted := slices.Sorted(slices.Values(f.partitionIDs))
		p.wantf(len(sorted) > 0 && sorted[0] != "" && len(slices.Compact(sorted)) == len(f.partitionIDs),
			"--partition-ids must be ids separated by commas, each given once, not %q", strings.Join(f.partitionIDs, ","))
	default:
		p.wantf(f.partitions > 0 && f.partitions <= maxPartitions,
			"--partitions must be from 1 to %d, not %d", maxPartitions, f.partitions)
	}
	p.wantf(f.output == outputPrefix || f.output == outputRaw, "--output must be prefix or raw, not %q", f.output)
	f.checkOwner(p)
	f.checkShare(p)
	p.wantf(len(args) > 0, "no program is given; write it last, as in: tenure run --group orders/billing "+
		"--partitions 16 -- ./worker")
	return p.err()
}

// ids returns the partitions.
func (f *runFlags) ids() []string {
	if f.partitionIDs != nil {
		return f.partitionIDs
	}
	ids := make([]string, f.partitions)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	return ids
}

func (a *app) run(ctx context.Context, f runFlags, args []string) error {
	program, err := findProgram(args[0])
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	output, printed, err := a.workerOutput(&f, stop)
	if err != nil {
		return err
	}
	served, err := a.serveStatus(ctx, f.metricsAddr)
	if err != nil {
		return err
	}
	defer served.Close()
	supervisor := &supervise.Supervisor{
		ShimArgs: []string{"tenure", shimName}, Path: program, Args: args,
		Environment: os.Environ(), StopGrace: workerStopGrace(f.ttl), Output: output, Log: a.log.Named("worker"),
	}
	if supervisor.ShimPath, err = thisProgram(); err != nil {
		return err
	}
	err = a.withStore(ctx, f.ttl, nil, func(store *etcdstore.Store) error {
		options := f.options(a.log)
		ids := f.ids()
		source := func(context.Context) ([]string, error) { return ids, nil }
		handler := func(ctx context.Context, p *balancer.Partition) error { return supervisor.Handle(ctx, p) }
		member, err := balancer.New(store, f.group, source, handler, &options)
		if err != nil {
			return fmt.Errorf("make the member: %w", err)
		}
		served.Tell(ofMember(member))
		defer context.AfterFunc(ctx, func() {
			a.log.Info("stopping: the workers are drained, then the partitions are given up; a second signal ends at once")
		})()
		return member.Run(ctx)
	})
	printed()
	if failed := context.Cause(ctx); ctx.Err() != nil && !errors.Is(failed, context.Canceled) {
		return explainOutput(failed)
	}
	return explainMember(err)
}

// workerOutput returns where workers print to. The command is stopped with the error if that cannot be printed to.
func (a *app) workerOutput( //nolint:ireturn // There are two kinds of it.
	f *runFlags, stop func(error),
) (output supervise.Output, printed func(), err error) {
	if f.output == outputPrefix {
		prefixed := supervise.NewPrefixedOutput(a.stdout, a.stderr, f.ids(), isTerminal(a.stdout), stop)
		return prefixed, prefixed.Close, nil
	}
	stdout, isFile := a.stdout.(*os.File)
	stderr, areFiles := a.stderr.(*os.File)
	if !isFile || !areFiles {
		return nil, nil, errors.New("--output raw needs files to print to")
	}
	return supervise.RawOutput{Stdout: stdout, Stderr: stderr}, func() {}, nil
}

func explainOutput(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return errBrokenPipe
	}
	return &problem.Error{What: "what the workers print can be written no more; they were drained", Err: err}
}

// findProgram returns the file of a program, as a shell would find it.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil, errors.Is(err, exec.ErrDot):
		return path, nil
	case errors.Is(err, fs.ErrPermission):
		return "", &problem.Error{Kind: problem.NotExecutable, What: fmt.Sprintf("%s cannot be executed", name), Err: err,
			Do: "Make it executable: chmod +x " + name}
	}
	return "", &problem.Error{Kind: problem.NotFound, What: fmt.Sprintf("there is no program %s", name), Err: err,
		Do: "Give its path, such as ./worker, or a name that is found in PATH."}
}

// workerStopGrace is how long a worker that has lost its partition has to end: half of what its handler has.
func workerStopGrace(ttl time.Duration) time.Duration { return max(ttl/10, 200*time.Millisecond) / 2 }

// thisProgram returns the file of this program. On Linux it is the very one that runs, whatever has replaced it since.
func thisProgram() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program, to run workers under: %w", err)
	}
	return path, nil
}

// shimName is the command under which workers run. It is not among cobra's: what comes after it is not to be parsed.
const shimName = "worker-shim"
