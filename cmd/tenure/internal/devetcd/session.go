package devetcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/gofrs/flock"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	lockPoll    = 20 * time.Millisecond
	watchPoll   = 500 * time.Millisecond
	answerLimit = 2 * time.Second
	openLimit   = time.Minute
	logLimit    = 1 << 20
)

// Options configures [Open].
type Options struct {
	// Command is the program and arguments that call [Serve] on the same folder in a process of its own. Required.
	Command []string

	// Logger receives starts of the server. Defaults to no logging.
	Logger *zap.Logger
}

// Session is one client's presence: while it is open, a server runs, and is started again when it was killed.
type Session struct {
	folder   folder
	options  Options
	presence *flock.Flock

	mu       sync.Mutex
	endpoint string
	follow   func(endpoint string)

	stop     context.CancelFunc
	watching sync.WaitGroup
}

// Open joins the folder's server, starting it if there is none, and returns when it answers. ctx bounds the opening
// only.
func Open(ctx context.Context, dir string, options Options) (*Session, error) {
	if !supported {
		return nil, errUnsupported
	}
	if options.Logger == nil {
		options.Logger = zap.NewNop()
	}
	f := folder(dir)
	if err := f.create(); err != nil {
		return nil, err
	}
	s := &Session{folder: f, options: options, presence: f.clientsLock()}
	openCtx, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	// Taken before looking for a server: one that is leaving holds this lock until it has gone.
	if _, err := s.presence.TryRLockContext(openCtx, lockPoll); err != nil {
		return nil, fmt.Errorf("wait for the last --dev etcd to leave %s: %w", dir, err)
	}
	endpoint, err := s.ensure(openCtx)
	if err != nil {
		return nil, errors.Join(err, s.presence.Unlock())
	}
	s.endpoint = endpoint
	watchCtx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.watching.Go(func() { s.watch(watchCtx) })
	return s, nil
}

// Endpoint is the client URL of the server.
func (s *Session) Endpoint() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.endpoint
}

// Follow calls moved with the server's endpoint now, and again whenever a server that was started again has another
// one, since its port had been taken meanwhile. Calls come one at a time and end with Close.
func (s *Session) Follow(moved func(endpoint string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follow = moved
	moved(s.endpoint)
}

// Close ends the presence. The server goes by itself when no other client is left. Closing twice is harmless.
func (s *Session) Close() error {
	s.stop()
	s.watching.Wait()
	if err := s.presence.Unlock(); err != nil {
		return fmt.Errorf("leave the --dev etcd: %w", err)
	}
	return nil
}

// watch starts the server again whenever it has gone.
func (s *Session) watch(ctx context.Context) {
	tick := time.NewTicker(watchPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if running, err := s.running(); err == nil && running {
			continue
		}
		s.options.Logger.Warn("the dev etcd has gone; starting it again", zap.String("dir", string(s.folder)))
		found, err := s.ensureWithin(ctx, openLimit)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.options.Logger.Error("the dev etcd could not be started again", zap.Error(err))
		default:
			s.moveTo(found)
		}
	}
}

func (s *Session) moveTo(endpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if endpoint == s.endpoint {
		return
	}
	s.endpoint = endpoint
	s.options.Logger.Warn("the dev etcd has a new address", zap.String("endpoint", endpoint))
	if s.follow != nil {
		s.follow(endpoint)
	}
}

// running reports whether a server holds the folder. It takes the server's lock for a moment, which a server that is
// just starting waits out.
func (s *Session) running() (bool, error) {
	probe := s.folder.serverLock()
	free, err := probe.TryRLock()
	if err != nil {
		return false, fmt.Errorf("look for the --dev etcd: %w", err)
	}
	if free {
		if err := probe.Unlock(); err != nil {
			return false, fmt.Errorf("look for the --dev etcd: %w", err)
		}
	}
	return !free, nil
}

func (s *Session) ensureWithin(ctx context.Context, limit time.Duration) (string, error) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.ensure(bounded)
}

// ensure returns the endpoint of a server that answers, starting one if there is none.
func (s *Session) ensure(ctx context.Context) (endpoint string, err error) {
	starting := s.folder.startLock()
	if _, err := starting.TryLockContext(ctx, lockPoll); err != nil {
		return "", fmt.Errorf("wait for another process that starts the --dev etcd: %w", err)
	}
	defer func() { err = errors.Join(err, starting.Unlock()) }()

	var child *child
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		running, err := s.running()
		switch {
		case err != nil:
			return "", err
		case running:
			if found := s.folder.readAddress(); found.answers(ctx) {
				return found.Endpoint, nil
			}
		case child == nil:
			if child, err = s.spawn(); err != nil {
				return "", err
			}
		case child.ended():
			// It may have left in favour of another that has gone since: only a failure is final.
			if child.err != nil {
				return "", fmt.Errorf("the --dev etcd did not start: %w%s", child.err, child.lastWords())
			}
			child = nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the --dev etcd in %s does not answer (its log: %s): %w",
				s.folder, s.folder.logFile(), ctx.Err())
		case <-tick.C:
		}
	}
}

// answers reports whether the server of this very address is there: the file may be older than the running server, and
// the port another program's by now.
func (a address) answers(ctx context.Context) bool {
	if a.Endpoint == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{a.Endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return false
	}
	defer client.Close() //nolint:errcheck // A connection that was only asked one question.
	status, err := client.Status(ctx, a.Endpoint)
	return err == nil && status.Header.GetClusterId() == a.ClusterID && status.Leader != 0
}

// child is the server process while its starter still waits for it.
type child struct {
	done     chan struct{}
	err      error
	log      string
	logStart int64
}

// spawn starts the server detached from this process: its own session, no terminal, nothing of this process's standard
// streams, folder or secrets.
func (s *Session) spawn() (*child, error) {
	if len(s.options.Command) == 0 {
		return nil, errors.New("devetcd: no command to start the server with")
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(s.folder.logFile()); err == nil && info.Size() > logLimit {
		flags |= os.O_TRUNC
	}
	log, err := os.OpenFile(s.folder.logFile(), flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the --dev etcd's log: %w", err)
	}
	defer log.Close() //nolint:errcheck // The child has its own copy.
	at, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("open the --dev etcd's log: %w", err)
	}

	command := exec.Command(s.options.Command[0], s.options.Command[1:]...) //nolint:noctx // It is to outlive us.
	command.Dir = string(s.folder)
	command.Env = plainEnvironment()
	command.Stdout, command.Stderr = log, log
	detach(command)
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the --dev etcd: %w", err)
	}
	s.options.Logger.Info("started the dev etcd", zap.String("dir", string(s.folder)),
		zap.Int("pid", command.Process.Pid))
	c := &child{done: make(chan struct{}), log: s.folder.logFile(), logStart: at}
	// Ends with the child or with this process, whichever is first: waiting for it here would tie the two together.
	go func() {
		defer close(c.done)
		c.err = command.Wait()
	}()
	return c, nil
}

// plainEnvironment leaves out everything but what a program needs to run: the server lives on after this process, whose
// environment may hold a connection string.
func plainEnvironment() []string {
	var kept []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOCOVERDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			kept = append(kept, name+"="+value)
		}
	}
	return kept
}

func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// lastWords is the last line that the child wrote, which is its error.
func (c *child) lastWords() string {
	raw, err := os.ReadFile(c.log)
	if err != nil || int64(len(raw)) <= c.logStart {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(raw[c.logStart:]), []byte("\n"))
	return fmt.Sprintf(": %s", lines[len(lines)-1])
}
