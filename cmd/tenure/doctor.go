package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tenure-go/tenure/cmd/tenure/internal/cluster"
	"github.com/tenure-go/tenure/cmd/tenure/internal/doctor"
	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/etcdstore"
)

const doctorHelp = `Examine etcd and the groups in it: each member's version, space and alarms, what reads and commits
take, the shortest lease, the limits of transactions, what this user may do; and of each group,
partitions without an owner, checkpoints that stand still, records that cannot be read, what operators
have set, and names that differ only in letter case. Each finding says what to do. Nothing is written.

Exit status 1 says that there is a problem, 3 that etcd cannot be used at all.`

func (a *app) doctorCommand() *cobra.Command {
	var f outputFlags
	var ttl, stale time.Duration
	command := &cobra.Command{
		Use: "doctor", Short: "Examine etcd and the groups in it, and say what to do", Long: doctorHelp, Args: noArguments,
		Annotations: quiet(),
		Example:     "  tenure doctor --endpoints localhost:2379 --ttl 10s",
		RunE: func(command *cobra.Command, _ []string) error {
			p := &problems{given: command.Flags().Changed}
			if err := checkTTL(ttl); err != nil {
				p.found = append(p.found, err)
			}
			p.wantf(stale > 0, "--stale must be above 0, not %v", stale)
			if err := p.err(); err != nil {
				return err
			}
			return a.doctor(command.Context(), &f, ttl, stale)
		},
	}
	f.define(command.Flags())
	command.Flags().DurationVar(&ttl, "ttl", 10*time.Second, "that of the fleet's leases")
	command.Flags().DurationVar(&stale, "stale", 10*time.Minute, "how old the checkpoint of an owned partition may be")
	return command
}

func (a *app) doctor(ctx context.Context, f *outputFlags, ttl, stale time.Duration) error {
	if err := f.check(); err != nil {
		return err
	}
	var findings []doctor.Finding
	err := a.withCluster(ctx, func(connected *cluster.Cluster, store *etcdstore.Store) error {
		findings = doctor.Examine(ctx, doctor.Config{
			Client: connected.Client, Store: store, Prefix: a.etcd.Prefix, User: a.etcd.User, TTL: ttl, Stale: stale,
			Judge: cluster.JudgeVersion,
		})
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	bad := 0
	for _, finding := range findings {
		if finding.Severity == doctor.Problem {
			bad++
		}
	}
	err = a.show(f, findings, func(page *inspect.Page) {
		for _, finding := range findings {
			page.Linef("%-8s %s: %s", strings.ToUpper(string(finding.Severity)), finding.About, finding.What)
			if finding.Do != "" {
				page.Linef("         %s", finding.Do)
			}
		}
	})
	if err == nil && bad > 0 {
		err = &problem.Error{What: fmt.Sprintf("%d of %d findings are problems", bad, len(findings))}
	}
	return err
}
