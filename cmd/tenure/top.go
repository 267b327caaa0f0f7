package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/cmd/tenure/internal/top"
	"github.com/tenure-go/tenure/etcdstore"
)

const topHelp = `Watch a group live: who owns what and since when, how fast each partition is handled and how old its
checkpoint is, the members and their shares, and what has changed and why. GROUP can be left out where
there is only one. It costs etcd one watch and no polling.

Keys: tab, 1, 2, 3 partitions, members or changes; s another order (its column has a *), r reversed;
/ filter, by any word that is shown; arrows, page up and down, or j and k to choose; enter to look more
closely at a partition, or at what a member owns; esc back; q quits.

Rates are by the sequence numbers of checkpoints, over the last ten seconds. With --source the stream is
asked every ten seconds how many events each partition is behind. ` + sourceHelp

func (a *app) topCommand() *cobra.Command {
	var source sourceFlags
	command := &cobra.Command{
		Use: "top [GROUP]", Short: "Watch a group live: owners, rates, shares and changes", Long: topHelp,
		Example: "  tenure top --endpoints localhost:2379\n  tenure top orders/billing",
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return exactly("[GROUP]")(command, args)
		},
		Annotations: quiet(),
		RunE: func(command *cobra.Command, args []string) error {
			return a.top(command.Context(), &source, args)
		},
	}
	source.define(command.Flags(), "how many events each partition is behind")
	return command
}

func (a *app) top(ctx context.Context, source *sourceFlags, args []string) error {
	terminal, ok := a.stdout.(*os.File)
	if !ok || !isTerminal(a.stdout) {
		return &problem.Error{Kind: problem.Usage, What: "tenure top draws on a terminal, and standard output is none",
			Do: "For scripts: tenure partition list GROUP -o json, and --watch for changes."}
	}
	kind, _ := a.lookup("TERM")
	plain, _ := a.lookup("NO_COLOR")
	show := func(store *etcdstore.Store, mirror *etcdstore.Mirror) error {
		config := top.Config{Terminal: terminal, Colours: kind != "dumb" && plain == "", Store: store, Mirror: mirror}
		stream, err := a.openStream(ctx, source, mirror.Snapshot().Group, "")
		if err != nil {
			return err
		}
		if stream != nil {
			defer stream.close()
			config.Lags = func(ctx context.Context, s *etcdstore.Snapshot) (map[string]*int64, error) {
				return lagsOf(ctx, stream, s)
			}
		}
		return unlessEnded(ctx, top.Run(ctx, config)) // a signal ends it as q does
	}
	if len(args) == 1 {
		return a.withGroup(ctx, args[0], show)
	}
	var only string
	if err := a.withReader(ctx, func(store *etcdstore.Store) (err error) {
		only, err = a.onlyGroup(ctx, store)
		return err
	}); err != nil {
		return err
	}
	return a.withGroup(ctx, only, show)
}

// onlyGroup returns the group that there is.
func (a *app) onlyGroup(ctx context.Context, store *etcdstore.Store) (string, error) {
	bounded, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	groups, err := store.ListGroups(bounded)
	if err != nil {
		return "", fmt.Errorf("list the groups: %w", err)
	}
	var names []string
	for _, g := range groups {
		names = append(names, g.Group.String())
	}
	switch len(names) {
	case 0:
		return "", errors.New("there are no groups under " + a.etcd.Prefix)
	case 1:
		return names[0], nil
	}
	return "", &problem.Error{Kind: problem.Usage, What: fmt.Sprintf("there are %d groups", len(names)),
		Do: "Name one of them: " + inspect.Some(names, 8)}
}
