package lease

import (
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	defaultTTL = 10 * time.Second
	minimumTTL = time.Second
)

// Options are a keeper's settings.
type Options struct {
	// TTL is how long the lease outlives its last renewal, and so how long the keys of a consumer that crashed stay. It is
	// in whole seconds and at least one. etcd may grant more (its own minimum is 2 s with its default timing), and
	// what it granted counts.
	//
	// Defaults to 10 s.
	TTL time.Duration

	// Logger gets a line for each lease granted, lost, given up and revoked.
	//
	// Defaults to none.
	Logger *zap.Logger
}

// withDefaults returns the options with every default filled in, or all that is wrong with them.
func (o *Options) withDefaults(client *clientv3.Client) (Options, error) {
	var filled Options
	if o != nil {
		filled = *o
	}
	if filled.TTL == 0 {
		filled.TTL = defaultTTL
	}
	if filled.Logger == nil {
		filled.Logger = zap.NewNop()
	}
	var problems []error
	if client == nil {
		problems = append(problems, errors.New("client is nil: want an etcd client"))
	}
	if filled.TTL < minimumTTL || filled.TTL%time.Second != 0 {
		problems = append(problems, fmt.Errorf("Options.TTL is %v: want whole seconds, at least %v", filled.TTL, minimumTTL))
	}
	if len(problems) > 0 {
		return Options{}, fmt.Errorf("lease: %w", errors.Join(problems...))
	}
	return filled, nil
}
