package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tenure-go/tenure/cmd/tenure/internal/demo"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
)

const demoHelp = `Show on an etcd of its own what Tenure does. Three processes of "tenure consume" share the partitions
of a stream; within a minute a fourth joins, one is drained, one is killed with SIGKILL, and one is
paused for longer than its lease and wakes again. A table in the end says how many partitions each
of this moved and how many events it repeated, checked against the stream. It needs nothing and
leaves nothing behind.

Exit status 1 says that something was not as promised, 130 that it was stopped before its end (q or
Ctrl-C).`

func (a *app) demoCommand() *cobra.Command {
	var plain bool
	command := &cobra.Command{
		Use:   "demo",
		Short: "Show partitions change hands, planned and by crashes, on an etcd of its own",
		Long:  demoHelp,
		Args:  noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			return a.demo(command.Context(), plain)
		},
	}
	command.Flags().BoolVar(&plain, "plain", false,
		"print plain lines instead of a live view, as where there is no terminal")
	return command
}

func (a *app) demo(ctx context.Context, plain bool) error {
	for flag := range a.from {
		if a.from.fromFlag(flag) && (flag == "dev" || flag == "endpoints") {
			return &problem.Error{Kind: problem.Usage, What: "demo brings its own etcd: --" + flag + " is not for it",
				Do: "Leave it out."}
		}
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, to start members: %w", err)
	}
	config := demo.Config{Program: program, Called: called(os.Args[0]), Output: a.stdout}
	if terminal, ok := a.stdout.(*os.File); ok && isTerminal(a.stdout) && !plain {
		if kind, _ := a.lookup("TERM"); kind != "dumb" {
			config.Terminal = terminal
		}
	}
	err = demo.Run(ctx, config)
	switch {
	case errors.Is(err, demo.ErrStopped):
		return errStopped
	case errors.Is(err, syscall.EPIPE):
		return errBrokenPipe
	}
	return err
}

// called is how this program is called again by hand. What "go run" builds is gone afterwards.
func called(program string) string {
	if strings.Contains(program, "go-build") {
		return "go run ./cmd/tenure"
	}
	return program
}

// errStopped ends a command that was stopped before its end, without a word.
var errStopped = errors.New("stopped before its end")
