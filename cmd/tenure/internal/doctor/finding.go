package doctor

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/etcdstore"
)

// Severity says how much a finding matters.
type Severity string

// The severities, from good to bad.
const (
	OK      Severity = "ok"
	Note    Severity = "note"    // worth knowing
	Warning Severity = "warning" // works, and should not stay so
	Problem Severity = "problem" // does not work
)

// Finding is one thing that was looked at.
type Finding struct {
	Severity Severity `json:"severity"`
	About    string   `json:"about"` // a member of etcd, a group, or what was tried
	What     string   `json:"what"`
	Do       string   `json:"do,omitempty"`
}

// Config says what is examined.
type Config struct {
	Client *clientv3.Client
	Store  *etcdstore.Store
	Prefix string // of all keys, without a slash at its end
	User   string // of etcd; "" if there is no authentication by password

	// TTL is that of the fleet's leases.
	TTL time.Duration

	// Stale is how old the checkpoint of an owned partition may be.
	Stale time.Duration

	// Judge returns advice about an etcd of that version, or an error if it is too old.
	Judge func(endpoint, version string) (string, error)
}

// examination is one at work.
type examination struct {
	Config

	findings []Finding
	term     uint64 // of Raft, when members were asked
}

// Examine looks at everything, and returns what it has found in that order.
func Examine(ctx context.Context, config Config) []Finding {
	e := &examination{Config: config}
	e.members(ctx)
	e.latency(ctx)
	e.leases(ctx)
	e.transactions(ctx)
	e.elections(ctx)
	if e.permissions(ctx) {
		e.groups(ctx)
	}
	return e.findings
}

func (e *examination) found(severity Severity, about, what, do string) {
	e.findings = append(e.findings, Finding{severity, about, what, do})
}
