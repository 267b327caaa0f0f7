package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tenure-go/tenure/cmd/tenure/internal/cluster"
	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/etcdstore"
)

// What --output takes where records are shown.
const (
	outputTable = "table"
	outputJSON  = "json"
)

// outputFlags are those of commands that show records.
type outputFlags struct {
	output string
	watch  bool
}

func (f *outputFlags) define(flags *pflag.FlagSet) {
	flags.StringVarP(&f.output, "output", "o", outputTable, "table or json")
}

func (f *outputFlags) defineWatch(flags *pflag.FlagSet) {
	flags.BoolVarP(&f.watch, "watch", "w", false, "go on, with a line for each change")
}

func (f *outputFlags) check() error {
	if f.output == outputTable || f.output == outputJSON {
		return nil
	}
	return &problem.Error{Kind: problem.Usage, What: fmt.Sprintf("--output is %q", f.output), Do: "Use table or json."}
}

// quietLog has commands that show or change records log what is wrong only, unless --log-level says otherwise: what
// they have to say is on standard output.
const quietLog = "quiet log"

func quiet() map[string]string { return map[string]string{quietLog: "true"} }

// withReader connects to etcd, has a store work that cannot claim, and explains what comes of it.
func (a *app) withReader(ctx context.Context, work func(*etcdstore.Store) error) error {
	return a.withCluster(ctx, func(_ *cluster.Cluster, store *etcdstore.Store) error { return work(store) })
}

func (a *app) withCluster(ctx context.Context, work func(*cluster.Cluster, *etcdstore.Store) error) (err error) {
	connected, err := a.connect(ctx)
	if err != nil {
		return stopped(ctx, err)
	}
	defer func() { err = errors.Join(err, connected.Close()) }()
	store, err := etcdstore.New(connected.Client, nil, &etcdstore.Options{
		Prefix: a.etcd.Prefix, Logger: a.log.Named("store"),
	})
	if err != nil {
		return fmt.Errorf("make the store: %w", err)
	}
	err = work(connected, store)
	if errors.Is(err, syscall.EPIPE) {
		err = errBrokenPipe
	}
	return stopped(ctx, connected.Explain(err))
}

// stopped is err, unless it comes of a signal.
func stopped(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errStopped
	}
	return err
}

// readLimit bounds how long etcd may take to answer when records are read or changed.
const readLimit = time.Minute

// withGroup follows a group with its checkpoints, and makes sure that there is one.
func (a *app) withGroup(
	ctx context.Context, text string, work func(*etcdstore.Store, *etcdstore.Mirror) error,
) error {
	return a.withMirror(ctx, text, func(store *etcdstore.Store, mirror *etcdstore.Mirror) error {
		if s := mirror.Snapshot(); s.IsEmpty() {
			return a.unknownGroup(ctx, store, s)
		}
		return work(store, mirror)
	})
}

// withMirror follows a group that there need not be.
func (a *app) withMirror(
	ctx context.Context, text string, work func(*etcdstore.Store, *etcdstore.Mirror) error,
) error {
	group, err := readGroup(text)
	if err != nil {
		return err
	}
	return a.withReader(ctx, func(store *etcdstore.Store) error {
		bounded, cancel := context.WithTimeout(ctx, readLimit)
		defer cancel()
		mirror, err := store.Watch(bounded, group, &etcdstore.WatchOptions{Checkpoints: true})
		if err != nil {
			return fmt.Errorf("read the group: %w", err)
		}
		defer mirror.Close()
		return work(store, mirror)
	})
}

func readGroup(text string) (etcdstore.Group, error) {
	group, err := parseGroup(text)
	if err != nil {
		return group, &problem.Error{Kind: problem.Usage, What: "GROUP", Err: err, Do: "Known ones: tenure group list"}
	}
	return group, nil
}

func (a *app) unknownGroup(ctx context.Context, store *etcdstore.Store, s *etcdstore.Snapshot) error {
	bounded, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	groups, err := store.ListGroups(bounded)
	if err != nil {
		return fmt.Errorf("list the groups: %w", err)
	}
	var names []string
	for _, g := range groups {
		names = append(names, g.Group.String())
	}
	return unknown("group", s.Group.String(), "under "+a.etcd.Prefix, names, "tenure group list")
}

// unknown says that there is nothing of that name, and which ones there are that may have been meant.
func unknown(what, name, where string, names []string, list string) error {
	do := "See: " + list
	if near := inspect.Near(name, names); len(near) > 0 {
		do = "Did you mean " + strings.Join(near, " or ") + "? " + do
	}
	return &problem.Error{Kind: problem.Usage, What: fmt.Sprintf("there is no %s %q %s", what, name, where), Do: do}
}

// show prints something as JSON, or for people as write has it.
func (a *app) show(f *outputFlags, value any, write func(*inspect.Page)) error {
	var page inspect.Page
	if f.output == outputJSON {
		encoder := json.NewEncoder(&page)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(value); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
	} else {
		write(&page)
	}
	return a.print(&page)
}

func (a *app) print(page *inspect.Page) error {
	if _, err := page.WriteTo(a.stdout); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

// follow prints what changes in a group, until ctx ends.
func (a *app) follow(
	ctx context.Context, f *outputFlags, mirror *etcdstore.Mirror,
	changes func(before, after *etcdstore.Snapshot, now time.Time) []inspect.Change,
) error {
	before := mirror.Snapshot()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-before.Changed():
		}
		if err := mirror.Err(); err != nil {
			return fmt.Errorf("follow the group: %w", err)
		}
		after := mirror.Snapshot()
		var page inspect.Page
		for _, change := range changes(before, after, time.Now()) {
			if err := f.line(&page, change); err != nil {
				return err
			}
		}
		if err := a.print(&page); err != nil {
			return err
		}
		before = after
	}
}

// line adds a change to a page, as a line of text or of JSON.
func (f *outputFlags) line(page *inspect.Page, change fmt.Stringer) error {
	if f.output != outputJSON {
		page.Linef("%v", change)
		return nil
	}
	encoder := json.NewEncoder(page)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(change); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return nil
}

// exactly is [cobra.ExactArgs] with an error of the right kind. The names are those of the arguments.
// The last may stand for several, as in NAME...
func exactly(names ...string) cobra.PositionalArgs {
	all := strings.Join(names, " ")
	return func(command *cobra.Command, args []string) error {
		if len(args) == len(names) || len(args) > len(names) && strings.HasSuffix(all, "...") {
			return nil
		}
		return &problem.Error{Kind: problem.Usage,
			What: fmt.Sprintf("%s takes %s, and was given %d of that", command.CommandPath(), all, len(args)),
			Do:   "See: " + command.CommandPath() + " --help"}
	}
}

// commands makes a command of others, that does nothing by itself.
func commands(use, short, long string, of ...*cobra.Command) *cobra.Command {
	parent := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return &problem.Error{Kind: problem.Usage, What: fmt.Sprintf("there is no command %q", command.Name()+" "+args[0]),
				Do: didYouMean(command, args[0])}
		},
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	parent.AddCommand(of...)
	return parent
}
