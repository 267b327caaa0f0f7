package main

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/etcdstore"
)

// completeLimit is how long a shell waits for the names that may come next.
const completeLimit = 3 * time.Second

// complete offers groups for the first argument of a command, and for those after it what names returns of the group:
// nothing if it is nil. Where etcd cannot be asked there is nothing to offer.
func (a *app) complete(names func(*etcdstore.Snapshot) []string) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, _ string) (offered []string, directive cobra.ShellCompDirective) {
		const directiveNone = cobra.ShellCompDirectiveNoFileComp
		stderr := a.stderr
		a.stderr = io.Discard // A shell shows what is written to it in the midst of the line.
		defer func() { a.stderr = stderr }()
		if len(args) > 0 && names == nil || a.prepare(command.Root().PersistentFlags()) != nil {
			return nil, directiveNone
		}
		a.log = zap.NewNop()
		ctx, cancel := context.WithTimeout(command.Context(), completeLimit)
		defer cancel()
		_ = a.withReader(ctx, func(store *etcdstore.Store) error {
			groups, err := store.ListGroups(ctx)
			for _, s := range groups {
				switch {
				case len(args) == 0:
					offered = append(offered, s.Group.String())
				case sameGroup(args[0], s.Group):
					offered = names(s)
				}
			}
			return err
		})
		return slices.DeleteFunc(offered, func(name string) bool { return slices.Contains(args[min(1, len(args)):], name) }),
			directiveNone | cobra.ShellCompDirectiveKeepOrder
	}
}

func sameGroup(text string, group etcdstore.Group) bool {
	parsed, err := parseGroup(text)
	return err == nil && parsed == group
}

func partitionNames(s *etcdstore.Snapshot) (names []string) {
	for _, p := range inspect.Partitions(s) {
		names = append(names, p.ID)
	}
	return names
}

func memberNames(s *etcdstore.Snapshot) (names []string) {
	for _, m := range inspect.Members(s) {
		names = append(names, m.OwnerID)
	}
	return names
}

// completeAll sets what the commands' arguments may be.
func (a *app) completeAll(root *cobra.Command) {
	names := map[string]func(*etcdstore.Snapshot) []string{
		"member": memberNames, "partition": partitionNames, "checkpoint": partitionNames, "group": nil,
	}
	for _, command := range root.Commands() {
		of, ok := names[command.Name()]
		if command.Name() == "top" {
			command.ValidArgsFunction = a.complete(nil)
		}
		for _, sub := range command.Commands() {
			switch sub.Name() {
			case "export", "import": // a file comes next
				sub.ValidArgsFunction = a.completeGroupThenFile()
			case "list":
				sub.ValidArgsFunction = a.complete(nil)
			default:
				if ok {
					sub.ValidArgsFunction = a.complete(of)
				}
			}
		}
	}
}

func (a *app) completeGroupThenFile() cobra.CompletionFunc {
	groups := a.complete(nil)
	return func(command *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return groups(command, args, word)
		}
		return nil, cobra.ShellCompDirectiveDefault
	}
}
