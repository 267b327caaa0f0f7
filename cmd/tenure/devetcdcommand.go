package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/tenure-go/tenure/cmd/tenure/internal/devetcd"
)

const devEtcdName = "dev-etcd"

// devEtcdCommand is what --dev starts in a process of its own.
func (a *app) devEtcdCommand() *cobra.Command {
	var dir string
	var linger time.Duration
	command := &cobra.Command{
		Use:    devEtcdName,
		Short:  "Serve the etcd behind --dev until its last client has gone",
		Hidden: true,
		Args:   noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			return devetcd.Serve(command.Context(), dir, linger)
		},
	}
	command.Flags().StringVar(&dir, "dir", "", "data `folder`")
	command.Flags().DurationVar(&linger, "linger", devetcd.DefaultLinger, "how long to stay after the last client")
	if err := command.MarkFlagRequired("dir"); err != nil {
		panic(err) // The flag is defined just above.
	}
	return command
}
