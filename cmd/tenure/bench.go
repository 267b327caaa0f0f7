package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/cmd/tenure/internal/benchmark"
	"github.com/tenure-go/tenure/cmd/tenure/internal/cluster"
	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
	"github.com/tenure-go/tenure/etcdstore"
)

const benchHelp = `Measure what an etcd can carry: how long reads and commits take, claims and checkpoints a second, and
how long a partition waits when its owner dies. It does what a fleet does, under a prefix of its own
that it removes at the end, also when it is interrupted.

It writes as fast as etcd takes it, so whoever else uses that etcd notices for a few seconds. What it
has written stays in etcd's history until that is compacted, and the database grows by it.`

type benchFlags struct {
	outputFlags

	ttl, duration, interval time.Duration
	partitions              int
	callers                 []int
}

func (a *app) benchCommand() *cobra.Command {
	var f benchFlags
	command := &cobra.Command{
		Use: "bench", Short: "Measure what an etcd can carry", Long: benchHelp, Args: noArguments, Annotations: quiet(),
		Example: "  tenure bench --endpoints localhost:2379\n" +
			"  tenure bench --dev --callers 64,1024 --duration 5s -o json",
		RunE: func(command *cobra.Command, _ []string) error {
			if err := f.check(command.Flags().Changed); err != nil {
				return err
			}
			return a.bench(command.Context(), &f)
		},
	}
	f.define(command.Flags())
	flags := command.Flags()
	flags.DurationVar(&f.ttl, "ttl", 10*time.Second, "that of the fleet's leases")
	flags.IntVar(&f.partitions, "partitions", 1024, "claim this many partitions")
	flags.IntSliceVar(&f.callers, "callers", []int{1, 64, 256}, "checkpoint this many partitions at a time, one step each")
	flags.DurationVar(&f.duration, "duration", time.Second, "how long each step of checkpoints takes")
	flags.DurationVar(&f.interval, "checkpoint-interval", 5*time.Second,
		"how often the fleet checkpoints each partition, to say how many partitions that etcd carries")
	return command
}

func (f *benchFlags) check(given func(string) bool) error {
	p := &problems{given: given}
	if err := f.outputFlags.check(); err != nil {
		p.found = append(p.found, err)
	}
	if err := checkTTL(f.ttl); err != nil {
		p.found = append(p.found, err)
	}
	p.wantf(f.duration > 0, "--duration must be above 0, not %v", f.duration)
	p.wantf(f.interval > 0, "--checkpoint-interval must be above 0, not %v", f.interval)
	p.wantf(f.partitions > 0 && f.partitions <= maxPartitions, "--partitions must be from 1 to %d, not %d",
		maxPartitions, f.partitions)
	p.wantf(len(f.callers) > 0 && slices.Min(f.callers) > 0 && slices.Max(f.callers) <= f.partitions,
		"--callers must be numbers from 1 to --partitions, which is %d, not %v", f.partitions, f.callers)
	return p.err()
}

func (a *app) bench(ctx context.Context, f *benchFlags) error {
	return a.withCluster(ctx, func(connected *cluster.Cluster, _ *etcdstore.Store) error {
		if err := connected.RequireSpace(); err != nil {
			return err
		}
		began := time.Now()
		result, err := benchmark.Run(ctx, benchmark.Config{
			Client: connected.Client, Prefix: a.etcd.Prefix + "/bench-" + rand.Text(), TTL: f.ttl, Partitions: f.partitions,
			Callers: f.callers, Duration: f.duration, Log: a.log.Named("bench"),
			Dial: func(ctx context.Context) (*clientv3.Client, func() error, error) {
				other, err := a.connect(ctx)
				if err != nil {
					return nil, nil, err
				}
				return other.Client, other.Close, nil
			},
			Progress: func(step string) {
				_, _ = fmt.Fprintf(a.stderr, "%5.1f s  measuring %s\n", time.Since(began).Seconds(), step)
			},
		})
		if err != nil {
			return err
		}
		return a.show(&f.outputFlags, result, func(page *inspect.Page) { showBench(page, f, result) })
	})
}

// headroom is which part of what was measured a fleet should use: it shares etcd with others, and catches up at times.
const headroom = 0.5

func showBench(page *inspect.Page, f *benchFlags, r *benchmark.Result) {
	t := inspect.Table{Head: []string{"", "A SECOND", "MEDIAN", "P99"}}
	add := func(what string, rate float64, l benchmark.Latency) {
		t.Add(what, rateWords(rate), short(l.Median), short(l.P99))
	}
	add("read", 0, r.Read)
	add("commit", 0, r.Commit)
	t.Add(fmt.Sprintf("claim %d partitions", r.Partitions), rateWords(float64(r.Partitions)/r.Claimed.Seconds()),
		short(r.Claimed), "")
	t.Add("list their owners", "", short(r.Listed), "")
	for _, c := range r.Checkpoints {
		add(fmt.Sprintf("checkpoint, %d at a time", c.Callers), c.PerSecond, c.Latency)
	}
	t.Add("free the partitions of a member that died", "", short(r.Freed), "")
	page.Table(t)
	best := r.Best()
	page.Linef("")
	carried := best.PerSecond * headroom
	page.Linef("At half of its best rate this etcd carries %s checkpoints a second, and so %s partitions",
		screen.Number(int(carried)), screen.Number(int(carried*f.interval.Seconds())))
	page.Linef("that are checkpointed every %v.", f.interval)
	page.Linef("The partitions of a member that dies are free after %v at the most, by leases of %v%s.", short(r.Freed),
		r.GrantedTTL, longerThan(r.GrantedTTL, f.ttl))
	page.Linef("The database has grown by %.1f MB, until etcd is compacted and defragmented.", float64(r.Written)/1e6)
}

func longerThan(granted, asked time.Duration) string {
	if granted > asked {
		return fmt.Sprintf(", the shortest that it grants (%v was asked for)", asked)
	}
	return ""
}

func rateWords(rate float64) string {
	if rate == 0 {
		return ""
	}
	return screen.Number(int(rate))
}

// short rounds a time to what is worth reading.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
