package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	etcdversion "go.etcd.io/etcd/api/v3/version"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program and of the etcd in it",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			if _, err := io.WriteString(a.stdout, versionText()); err != nil {
				return fmt.Errorf("write to standard output: %w", err)
			}
			return nil
		},
	}
}

func versionText() string {
	return fmt.Sprintf("tenure %s\netcd %s\n%s %s/%s\n",
		ownVersion(), etcdversion.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// ownVersion is what the Go tool recorded: a module version, or the commit that was built.
func ownVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}

// noArguments is [cobra.NoArgs] with an error of the right kind.
func noArguments(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &problem.Error{Kind: problem.Usage,
		What: fmt.Sprintf("%s takes no argument, and was given %q", command.CommandPath(), args[0]),
		Do:   "See: " + command.CommandPath() + " --help"}
}
