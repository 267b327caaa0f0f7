// Command tenure consumes event streams with partition ownership and checkpoints kept in etcd. Run "tenure help" for
// what it does.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/cmd/tenure/internal/supervise/shim"
)

// Exit statuses, as the help text lists them.
const (
	exitOK         = 0
	exitFailure    = 1
	exitUsage      = 2
	exitEtcd       = 3
	exitEventHubs  = 4
	exitNoExec     = 126 // as a shell has these two
	exitNotFound   = 127
	exitBySignal   = 128 // plus the signal's number
	exitBrokenPipe = 141 // what a shell reports for a program that SIGPIPE ended
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == shimName {
		os.Exit(shim.Main(os.Args[2:], os.Stderr))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, os.LookupEnv))
}

// run runs one command line and returns the exit status.
func run(args []string, stdout, stderr io.Writer, lookup lookupEnv) int {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	a := &app{stdout: stdout, stderr: stderr, lookup: lookup, log: zap.NewNop()}
	root := a.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	_ = a.log.Sync() // Standard error cannot always be synced, and there is nowhere to say so.
	if err == nil {
		return exitOK
	}
	if status, quiet := quietStatus(err); quiet {
		return status
	}
	a.report(err)
	return map[problem.Kind]int{
		problem.Failure:       exitFailure,
		problem.Usage:         exitUsage,
		problem.Etcd:          exitEtcd,
		problem.EventHubs:     exitEventHubs,
		problem.NotExecutable: exitNoExec,
		problem.NotFound:      exitNotFound,
	}[problem.KindOf(err)]
}

// report says why the command failed: to people in words, to a machine that reads JSON logs as a line of those.
func (a *app) report(err error) {
	if a.logFormat == formatJSON {
		a.log.Error("failed", zap.Error(err))
		return
	}
	_, _ = fmt.Fprintf(a.stderr, "tenure: %v\n", err)
}
