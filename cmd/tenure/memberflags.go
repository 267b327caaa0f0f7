package main

import (
	"time"

	"github.com/google/uuid"
	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
)

// memberFlags are those of every command that is a member of a group.
type memberFlags struct {
	ownerID      string
	ttl          time.Duration
	metricsAddr  string
	weight       int
	capacity     int
	grace        time.Duration
	drainTimeout time.Duration
}

func (f *memberFlags) defineOwner(flags *pflag.FlagSet) {
	flags.StringVar(&f.ownerID, "owner-id", "", "`name` of this process in its group, its own (default: a random UUID)")
	flags.DurationVar(&f.ttl, "ttl", 10*time.Second, "how long the partitions of a process that died stay its own")
	flags.StringVar(&f.metricsAddr, "metrics-addr", "",
		"serve /metrics, /healthz and /readyz on this `address`, such as :9090 (default: nowhere)")
}

// defineShare defines the flags about its share of the partitions. The usage begins with when, and says what a
// partition that is given up has to do.
func (f *memberFlags) defineShare(flags *pflag.FlagSet, when string, drain time.Duration, toDo string) {
	flags.IntVar(&f.weight, "weight", 1, when+"this process's share of the partitions, relative to the others'")
	flags.IntVar(&f.capacity, "capacity", 0, when+"take no more partitions than this (0: no limit)")
	flags.DurationVar(&f.grace, "grace", 0,
		when+"keep the partitions this long on top of --ttl for a process that has gone and comes back as --owner-id")
	flags.DurationVar(&f.drainTimeout, "drain-timeout", drain,
		when+"how long a partition that is given up may take to "+toDo)
}

func (f *memberFlags) checkOwner(p *problems) {
	if err := checkTTL(f.ttl); err != nil {
		p.found = append(p.found, err)
	}
	p.wantf(f.ownerID != "" || !p.given("owner-id"), "--owner-id is empty; leave it out for a random one")
}

func (f *memberFlags) checkShare(p *problems) {
	p.wantf(f.weight > 0, "--weight must be at least 1, not %d", f.weight)
	p.wantf(f.capacity >= 0, "--capacity must be at least 1, or 0 for no limit, not %d", f.capacity)
	p.wantf(f.grace >= 0 && f.grace%time.Second == 0, "--grace must be whole seconds, such as 30s, not %v", f.grace)
	p.wantf(f.grace == 0 || p.given("owner-id"),
		"--grace needs an --owner-id that stays the same over restarts: a random one does not come back")
	p.wantf(f.drainTimeout > 0, "--drain-timeout must be above 0, not %v", f.drainTimeout)
}

// owner returns the owner id, a new one if none was given.
func (f *memberFlags) owner() string {
	if f.ownerID == "" {
		f.ownerID = uuid.NewString()
	}
	return f.ownerID
}

func (f *memberFlags) options(log *zap.Logger) balancer.Options {
	return balancer.Options{
		OwnerID: f.owner(), Weight: f.weight, Capacity: f.capacity, DrainTimeout: f.drainTimeout, Grace: f.grace,
		Logger: log.Named("balancer"),
	}
}

const groupUsage = "`topic/group` that the processes share, or namespace/topic/group; " +
	"two parts mean the namespace local"

// group reads a group's name as people give it.
func (p *problems) group(text string) etcdstore.Group {
	group, err := parseGroup(text)
	p.wantf(err == nil, "--group must be topic/group or namespace/topic/group, such as orders/billing, not %q", text)
	return group
}

// parseGroup reads a group's name as people give it. All but those of the namespace local are of Event Hubs, which
// ignores the case of names.
func parseGroup(text string) (etcdstore.Group, error) {
	group, err := etcdstore.ParseGroup(text)
	if group.FullyQualifiedNamespace != "local" {
		group = group.Fold()
	}
	return group, err
}
