package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/tenure-go/tenure/cmd/tenure/internal/devetcd"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/lease"
)

const (
	// keepAliveTime and keepAliveTimeout bound how long a silent network goes unnoticed. gRPC pings no more often than
	// every 10 s, and etcd refuses more than one ping in 5 s.
	keepAliveTime    = 10 * time.Second
	keepAliveTimeout = 3 * time.Second

	// stragglers is how long the other members may take to say their version once one has.
	stragglers = time.Second
)

// Cluster is a connection to an etcd that was found fit to work with.
type Cluster struct {
	// Client is the connection. Close closes it.
	Client *clientv3.Client

	settings Settings
	noSpace  []string // members that are out of space
	session  *devetcd.Session
}

// reconnecting says how often an etcd that is away is looked for. By default gRPC waits for up to two minutes in the
// end: members would have lost their leases by then although etcd was back.
func reconnecting() grpc.ConnectParams {
	return grpc.ConnectParams{
		Backoff: backoff.Config{
			BaseDelay: 100 * time.Millisecond, Multiplier: backoff.DefaultConfig.Multiplier,
			Jitter: backoff.DefaultConfig.Jitter, MaxDelay: time.Second,
		},
		MinConnectTimeout: 5 * time.Second,
	}
}

// Connect opens the connection that the settings ask for and makes sure, within the dial time-out, that etcd answers,
// lets this user read the prefix, and is new enough. Everything that stands against it is a [problem.Error].
func Connect(ctx context.Context, settings Settings, log *zap.Logger) (*Cluster, error) {
	if err := settings.check(); err != nil {
		return nil, err
	}
	c := &Cluster{settings: settings}
	if err := c.connect(ctx, settings, log); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) connect(ctx context.Context, settings Settings, log *zap.Logger) error {
	if settings.Dev {
		if err := c.startDev(ctx, &settings, log); err != nil {
			return err
		}
	}
	config, err := settings.tlsConfig()
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, settings.DialTimeout)
	defer cancel()
	// The client's own context lives as long as the client, but asking for its first token stops with ours.
	lifetime, end := context.WithCancel(context.Background())
	stop := context.AfterFunc(bounded, end)
	c.Client, err = clientv3.New(clientv3.Config{
		Endpoints:            settings.Endpoints,
		TLS:                  config,
		Username:             settings.User,
		Password:             settings.Password,
		Context:              lifetime,
		DialTimeout:          settings.DialTimeout,
		DialKeepAliveTime:    keepAliveTime,
		DialKeepAliveTimeout: keepAliveTimeout,
		DialOptions:          []grpc.DialOption{grpc.WithConnectParams(reconnecting())},
		// It warns of every retry of every request. What matters of it, the callers say themselves.
		Logger: zap.NewNop(),
	})
	stop()
	if err == nil && c.session != nil {
		c.session.Follow(func(endpoint string) { c.Client.SetEndpoints(endpoint) })
	}
	if err == nil {
		err = c.examine(bounded, settings, log)
	} else {
		end()
	}
	if err != nil && ctx.Err() == nil {
		return explain(ctx, err, settings, config)
	}
	return err
}

func (c *Cluster) startDev(ctx context.Context, settings *Settings, log *zap.Logger) error {
	session, err := devetcd.Open(ctx, settings.DevDir, devetcd.Options{
		Command: settings.DevCommand,
		Logger:  log,
	})
	if err != nil {
		return &problem.Error{Kind: problem.Etcd, What: "the etcd behind --dev cannot be used", Err: err}
	}
	c.session = session
	settings.Endpoints = []string{session.Endpoint()}
	return nil
}

// examine asks every member who it is, and the cluster for one linearizable read.
func (c *Cluster) examine(ctx context.Context, settings Settings, log *zap.Logger) error {
	statuses, err := c.statuses(ctx)
	if err != nil {
		return err
	}
	var versions []string
	for _, endpoint := range settings.Endpoints {
		status := statuses[endpoint]
		if status == nil {
			log.Warn("an etcd endpoint does not answer; the others are used", zap.String("endpoint", endpoint))
			continue
		}
		advice, err := JudgeVersion(endpoint, status.Version)
		if err != nil {
			return err
		}
		if advice != "" {
			log.Warn(advice)
		}
		versions = append(versions, status.Version)
		for _, trouble := range status.Errors {
			if strings.Contains(trouble, "NOSPACE") {
				c.noSpace = append(c.noSpace, endpoint)
			}
		}
	}
	// Linearizable, so it needs a quorum; and it shows whether this user may read what everything else will read.
	_, err = c.Client.Get(ctx, settings.Prefix+"/", clientv3.WithPrefix(), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	if err != nil {
		return fmt.Errorf("read %s/: %w", settings.Prefix, err)
	}
	log.Info("connected to etcd", zap.Strings("endpoints", settings.Endpoints), zap.Strings("versions", versions),
		zap.String("prefix", settings.Prefix))
	return nil
}

// statuses asks all endpoints at once, by endpoint; silent ones are left out. It fails when none answers, or when one
// refuses to.
func (c *Cluster) statuses(ctx context.Context) (map[string]*clientv3.StatusResponse, error) {
	type answer struct {
		endpoint string
		status   *clientv3.StatusResponse
		err      error
	}
	endpoints := c.Client.Endpoints()
	answers := make(chan answer, len(endpoints))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, endpoint := range endpoints {
		go func() {
			status, err := c.Client.Status(ctx, endpoint)
			answers <- answer{endpoint, status, err}
		}()
	}
	found := make(map[string]*clientv3.StatusResponse)
	var failures []error
	for range endpoints {
		a := <-answers // Each answers at the latest when ctx ends.
		if a.err != nil {
			failures = append(failures, a.err)
			continue
		}
		if len(found) == 0 {
			defer time.AfterFunc(stragglers, cancel).Stop()
		}
		found[a.endpoint] = a.status
	}
	if len(found) == 0 {
		return nil, errors.Join(failures...)
	}
	return found, nil
}

// RequireSpace returns a problem if a member is out of space. An etcd without space still reads, renews and deletes,
// so only commands that write need it.
func (c *Cluster) RequireSpace() error {
	if len(c.noSpace) == 0 {
		return nil
	}
	return noSpace(strings.Join(c.noSpace, ", "), nil)
}

// Explain turns an error that etcd gave later, in the midst of work, into one for people, where it can.
func (c *Cluster) Explain(err error) error {
	switch {
	case errors.Is(err, lease.ErrNoSpace), errors.Is(err, rpctypes.ErrNoSpace):
		return noSpace("the cluster", err)
	case errors.Is(err, lease.ErrPermissionDenied), errors.Is(err, rpctypes.ErrPermissionDenied):
		return denied(c.settings)
	case errors.Is(err, lease.ErrNoLeader), errors.Is(err, lease.ErrUnreachable):
		return &problem.Error{Kind: problem.Etcd, What: "etcd cannot serve requests", Err: err,
			Do: "Check with: etcdctl endpoint status --cluster"}
	}
	return err
}

// Close closes the connection, and leaves the development etcd if that is what it was to. Closing twice is harmless.
func (c *Cluster) Close() error {
	var errs []error
	if c.session != nil {
		// First, since it changes the client's endpoints.
		errs = append(errs, c.session.Close())
	}
	if c.Client != nil {
		if err := c.Client.Close(); err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("close the etcd client: %w", err))
		}
	}
	return errors.Join(errs...)
}
