package etcdtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.uber.org/zap"
)

const (
	memberEnv = "ETCDTEST_MEMBER"
	readyLine = "ready"
)

// settings are what a member's process is told of its configuration.
type settings struct {
	Name, Dir, Token, Cluster, ClientURL, PeerURL, State string
	AdvertisePeerURL                                     string
	TickMs, ElectionMs, MaxTxnOps, MaxRequestBytes       uint
	AuthTokenTTL, BcryptCost                             uint
	QuotaBackendBytes                                    int64
	UnsafeNoFsync                                        bool
}

// RunMember runs one member and exits if this process was started by [StartProcesses]; otherwise it returns at once. A
// test binary that uses StartProcesses calls it first thing in its TestMain; [Main] does.
func RunMember() {
	encoded := os.Getenv(memberEnv)
	if encoded == "" {
		return
	}
	if err := runMember(encoded); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runMember(encoded string) error {
	var s settings
	if err := json.Unmarshal([]byte(encoded), &s); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.InitialClusterToken, cfg.InitialCluster = s.Name, s.Dir, s.Token, s.Cluster
	cfg.ClusterState = s.State
	cfg.TickMs, cfg.ElectionMs, cfg.UnsafeNoFsync = s.TickMs, s.ElectionMs, s.UnsafeNoFsync
	cfg.MaxTxnOps, cfg.MaxRequestBytes, cfg.QuotaBackendBytes = s.MaxTxnOps, s.MaxRequestBytes, s.QuotaBackendBytes
	cfg.AuthTokenTTL, cfg.BcryptCost = s.AuthTokenTTL, s.BcryptCost
	cfg.EnableGRPCGateway = false
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	clientURL, err := url.Parse(s.ClientURL)
	if err != nil {
		return fmt.Errorf("read client URL: %w", err)
	}
	peerURL, err := url.Parse(s.PeerURL)
	if err != nil {
		return fmt.Errorf("read peer URL: %w", err)
	}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*clientURL}, []url.URL{*clientURL}
	advertised, err := url.Parse(s.AdvertisePeerURL)
	if err != nil {
		return fmt.Errorf("read the advertised peer URL: %w", err)
	}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peerURL}, []url.URL{*advertised}

	// Standard input ends when the parent closes it or dies, however it dies.
	orders := make(chan string)
	go func() {
		defer close(orders)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			orders <- lines.Text()
		}
	}()
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	ready := server.Server.ReadyNotify()
	for {
		select {
		case <-ready:
			fmt.Println(readyLine)
			ready = nil
		case err := <-server.Err():
			return fmt.Errorf("serve: %w", err)
		case <-told.Done():
			server.Close()
			return nil
		case order, ok := <-orders:
			if !ok {
				return nil // as a crash would end it: nobody is left to wait for more
			}
			obey(server.Server, order)
		}
	}
}

// What a member's process can be told, with the name of another member.
const (
	cutOrder  = "cut "
	mendOrder = "mend "
)

func obey(server *etcdserver.EtcdServer, order string) {
	for _, m := range server.Cluster().Members() {
		switch order {
		case cutOrder + m.Name:
			server.CutPeer(m.ID)
		case mendOrder + m.Name:
			server.MendPeer(m.ID)
		}
	}
}

// Processes is an etcd each of whose members runs in a process of its own.
type Processes struct {
	tb      testing.TB
	members []*process
}

type process struct {
	binary   string
	server   bool // the binary is etcd's own, which is told with flags
	settings settings

	mu     sync.Mutex
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr *strings.Builder
	exited chan struct{}
}

// StartProcesses runs an etcd of n members, each in a process of its own, until the test ends. The test binary's
// TestMain must call [RunMember]. Of what options set, a member's process is told the timing, fsync, the limits
// (operations, request bytes, quota), the lifetime of tokens, and the URL that it tells its peers.
func StartProcesses(tb testing.TB, n int, options ...Option) *Processes {
	tb.Helper()
	binary, err := os.Executable()
	if err != nil {
		tb.Fatalf("etcdtest: find the test's binary: %v", err)
	}
	return StartProcessesOf(tb, binary, n, options...)
}

// StartProcessesOf is [StartProcesses] with another binary, which calls [RunMember] first thing.
func StartProcessesOf(tb testing.TB, binary string, n int, options ...Option) *Processes {
	tb.Helper()
	return startProcesses(tb, binary, false, n, options)
}

// StartServers is [StartProcesses] with a binary that is an etcd server of any version. Its members cannot be isolated.
func StartServers(tb testing.TB, binary string, n int, options ...Option) *Processes {
	tb.Helper()
	return startProcesses(tb, binary, true, n, options)
}

func startProcesses(tb testing.TB, binary string, server bool, n int, options []Option) *Processes {
	tb.Helper()
	p := &Processes{tb: tb}
	tb.TempDir() // so that it is removed after the members have stopped
	tb.Cleanup(func() {
		for _, m := range p.members {
			m.kill()
		}
	})
	for try := 1; ; try++ {
		p.members = nil
		for _, cfg := range configure(tb, n, options) {
			p.members = append(p.members, &process{binary: binary, server: server, settings: settings{
				Name: cfg.Name, Dir: cfg.Dir, Token: cfg.InitialClusterToken, Cluster: cfg.InitialCluster,
				ClientURL: cfg.ListenClientUrls[0].String(), PeerURL: cfg.ListenPeerUrls[0].String(),
				AdvertisePeerURL: cfg.AdvertisePeerUrls[0].String(),
				State:            embed.ClusterStateFlagNew,
				TickMs:           cfg.TickMs, ElectionMs: cfg.ElectionMs, UnsafeNoFsync: cfg.UnsafeNoFsync,
				MaxTxnOps: cfg.MaxTxnOps, MaxRequestBytes: cfg.MaxRequestBytes,
				QuotaBackendBytes: cfg.QuotaBackendBytes,
				AuthTokenTTL:      cfg.AuthTokenTTL, BcryptCost: cfg.BcryptCost,
			}})
		}
		err := p.startAll()
		if err == nil {
			return p
		}
		for _, m := range p.members {
			m.kill()
		}
		if !strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) || try == startTries {
			tb.Fatalf("etcdtest: start etcd: %v", err)
		}
	}
}

func (p *Processes) startAll() error {
	waits := make([]func() error, len(p.members))
	for i, m := range p.members {
		ready, err := m.start()
		if err != nil {
			return err
		}
		waits[i] = ready
	}
	for _, ready := range waits {
		if err := ready(); err != nil {
			return err
		}
	}
	return nil
}

// Endpoints returns the members' client URLs.
func (p *Processes) Endpoints() []string {
	var endpoints []string
	for _, m := range p.members {
		endpoints = append(endpoints, m.settings.ClientURL)
	}
	return endpoints
}

// Client returns a client of all members, closed when the test tb ends.
func (p *Processes) Client(tb testing.TB, changes ...func(*clientv3.Config)) *clientv3.Client {
	tb.Helper()
	return NewClient(tb, p.Endpoints(), changes...)
}

// Leader returns the index of the member that leads, once there is one. Members that are paused are not asked for long.
func (p *Processes) Leader() int {
	p.tb.Helper()
	return leader(p.tb, p.Endpoints())
}

// Signal sends a signal to the i-th member.
func (p *Processes) Signal(i int, signal os.Signal) {
	p.tb.Helper()
	m := p.members[i]
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.cmd.Process.Signal(signal); err != nil {
		p.tb.Fatalf("etcdtest: signal member %d: %v", i, err)
	}
}

// Isolate has the i-th member and the others no longer listen to each other. Clients still reach it. A member that is
// paused obeys when it goes on, and one that is started again listens to all.
func (p *Processes) Isolate(i int) { p.betweenPeers(i, cutOrder) }

// Heal ends what [Processes.Isolate] did.
func (p *Processes) Heal(i int) { p.betweenPeers(i, mendOrder) }

func (p *Processes) betweenPeers(i int, order string) {
	for j := range p.members {
		if j != i {
			p.between(i, j, order)
		}
	}
}

// Part has two members no longer listen to each other, as [Processes.Isolate] does. Both still hear the others.
func (p *Processes) Part(i, j int) { p.between(i, j, cutOrder) }

// Join ends what [Processes.Part] did.
func (p *Processes) Join(i, j int) { p.between(i, j, mendOrder) }

func (p *Processes) between(i, j int, order string) {
	p.members[i].tell(order + p.members[j].settings.Name)
	p.members[j].tell(order + p.members[i].settings.Name)
}

// tell gives a member's process an order, if it runs.
func (m *process) tell(order string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd != nil {
		_, _ = io.WriteString(m.stdin, order+"\n") // it may be ending
	}
}

// Kill ends the i-th member with SIGKILL and waits until it is gone. Killing it again is harmless.
func (p *Processes) Kill(i int) {
	p.members[i].kill()
}

// stopTimeout is how long a member may take to stop.
const stopTimeout = 10 * time.Second

// Stop ends the i-th member in good order, in which a leader hands its leadership over, and waits until it is gone. A
// member that cannot, as others do not answer it, is killed after a while.
func (p *Processes) Stop(i int) {
	p.tb.Helper()
	p.Signal(i, syscall.SIGTERM)
	select {
	case <-p.members[i].exited:
	case <-time.After(stopTimeout):
	}
	p.Kill(i)
}

// Dir returns the folder with the i-th member's data.
func (p *Processes) Dir(i int) string { return p.members[i].settings.Dir }

// RestoreFlags are what etcdutl has to be told to restore a snapshot as the i-th member.
func (p *Processes) RestoreFlags(i int) []string {
	s := p.members[i].settings
	return []string{
		"--name=" + s.Name, "--data-dir=" + s.Dir, "--initial-cluster=" + s.Cluster,
		"--initial-cluster-token=" + s.Token, "--initial-advertise-peer-urls=" + s.AdvertisePeerURL,
	}
}

// RestartAll starts all members again with their data and ports, after killing those that run.
func (p *Processes) RestartAll() {
	p.tb.Helper()
	for _, m := range p.members {
		m.kill()
	}
	if err := p.startAll(); err != nil {
		p.tb.Fatalf("etcdtest: restart all members: %v", err)
	}
}

// Restart starts the i-th member again with its data and ports, after killing it if it runs.
func (p *Processes) Restart(i int) {
	p.tb.Helper()
	m := p.members[i]
	m.kill()
	ready, err := m.start()
	if err == nil {
		err = ready()
	}
	if err != nil {
		p.tb.Fatalf("etcdtest: restart member %d: %v", i, err)
	}
}

// start starts the process; ready waits until its member serves, which takes a quorum.
func (m *process) start() (ready func() error, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	encoded, err := json.Marshal(m.settings)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(m.binary)
	cmd.Env = append(os.Environ(), memberEnv+"="+string(encoded))
	if m.server {
		cmd = exec.Command(m.binary, m.settings.flags()...)
	}
	cmd.SysProcAttr = dieWithParent()
	stderr := &strings.Builder{}
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	serving, exited := make(chan struct{}), make(chan struct{})
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if lines.Text() == readyLine {
				close(serving)
			}
		}
		_ = cmd.Wait()
		close(exited)
	}()
	m.cmd, m.stdin, m.stderr, m.exited = cmd, stdin, stderr, exited
	if m.server {
		go awaitServing(m.settings.ClientURL, serving, exited)
	}
	return func() error {
		select {
		case <-serving:
			return nil
		case <-exited:
			return fmt.Errorf("%s ended: %v: %s", m.settings.Name, cmd.ProcessState, stderr)
		case <-time.After(startTimeout):
			return fmt.Errorf("%s is not ready after %v", m.settings.Name, startTimeout)
		}
	}, nil
}

// flags are settings as etcd's own command takes them.
func (s *settings) flags() []string {
	return []string{
		"--name=" + s.Name, "--data-dir=" + s.Dir, "--initial-cluster-token=" + s.Token,
		"--initial-cluster=" + s.Cluster, "--initial-cluster-state=" + s.State, "--log-level=error",
		"--listen-client-urls=" + s.ClientURL, "--advertise-client-urls=" + s.ClientURL,
		"--listen-peer-urls=" + s.PeerURL, "--initial-advertise-peer-urls=" + s.AdvertisePeerURL,
		fmt.Sprintf("--heartbeat-interval=%d", s.TickMs), fmt.Sprintf("--election-timeout=%d", s.ElectionMs),
	}
}

// awaitServing closes serving when a server answers, unless it has exited.
func awaitServing(endpoint string, serving chan<- struct{}, exited <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return // it does not become ready, which is told
	}
	defer func() { _ = client.Close() }()
	for ctx.Err() == nil {
		attempt, stop := context.WithTimeout(ctx, statusTimeout)
		_, err := client.Get(attempt, "ready") // which takes a quorum
		stop()
		if err == nil {
			close(serving)
			return
		}
	}
}

func (m *process) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill() // fails only if it has ended
	_ = m.stdin.Close()
	<-m.exited
	m.cmd = nil
}
