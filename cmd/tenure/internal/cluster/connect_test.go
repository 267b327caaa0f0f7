package cluster_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tenure-go/tenure/cmd/tenure/internal/cluster"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

func TestMain(m *testing.M) {
	etcdtest.Main(m)
}

const prefix = "/tenure/v1"

func connect(t *testing.T, settings cluster.Settings) (*cluster.Cluster, error) {
	t.Helper()
	if settings.DialTimeout == 0 {
		settings.DialTimeout = 20 * time.Second
	}
	settings.Prefix = prefix
	connected, err := cluster.Connect(t.Context(), settings, zaptest.NewLogger(t))
	if err == nil {
		t.Cleanup(func() { require.NoError(t, connected.Close()) })
	}
	return connected, err
}

// requireProblem wants an error of that kind that says each of these words.
func requireProblem(t *testing.T, err error, kind problem.Kind, words ...string) {
	t.Helper()
	require.Error(t, err)
	var found *problem.Error
	require.ErrorAs(t, err, &found)
	require.Equal(t, kind, found.Kind, "%v", err)
	require.NotEmpty(t, found.Do, "%v", err)
	for _, word := range words {
		require.ErrorContains(t, err, word)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	_, err := connect(t, cluster.Settings{})
	requireProblem(t, err, problem.Usage, "--endpoints", "TENURE_ENDPOINTS", "ETCDCTL_ENDPOINTS", "--dev")
	one := []string{"localhost:1"}
	_, err = connect(t, cluster.Settings{Endpoints: one, Cert: "cert.pem"})
	requireProblem(t, err, problem.Usage, "--cert and --key go together")
	_, err = connect(t, cluster.Settings{Endpoints: one, User: "me"})
	requireProblem(t, err, problem.Usage, "no password for --user me", "TENURE_PASSWORD")
	_, err = connect(t, cluster.Settings{Endpoints: one, Password: "secret"})
	requireProblem(t, err, problem.Usage, "no user")
	require.NotContains(t, err.Error(), "secret")
	for endpoint, words := range map[string]string{
		"localhost": `--endpoints: "localhost" has no port; etcd's is usually 2379`, "http://localhost/": "has no port",
		"localhost:": "has no port", "http://": "has no host", "": "has no host", ":2379": "has no host",
		"::1:2379": "brackets", "[::1]": "has no port", "a 1:1": "holds a space",
		"etcd://a:1": "neither http:// nor https://",
	} {
		_, err = connect(t, cluster.Settings{Endpoints: []string{"[::1]:1", endpoint}})
		requireProblem(t, err, problem.Usage, words)
	}
	_, err = connect(t, cluster.Settings{Endpoints: []string{"http://a:1", "https://b:1"}})
	requireProblem(t, err, problem.Usage, "mix")
	_, err = connect(t, cluster.Settings{Endpoints: one, CACert: filepath.Join(t.TempDir(), "absent.pem")})
	require.Equal(t, problem.Usage, problem.KindOf(err))
	require.ErrorContains(t, err, "absent.pem")
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	require.NoError(t, os.WriteFile(garbage, []byte("no certificate"), 0o600))
	_, err = connect(t, cluster.Settings{Endpoints: one, CACert: garbage})
	require.ErrorContains(t, err, "holds no certificate")
}

func TestPlainEtcd(t *testing.T) {
	t.Parallel()
	etcd := etcdtest.Start(t)
	endpoint := etcd.Member(0).Endpoint()
	bare := etcd.Member(0).Address()
	for _, written := range []string{endpoint, bare} {
		connected, err := connect(t, cluster.Settings{Endpoints: []string{written}})
		require.NoError(t, err)
		require.NoError(t, connected.RequireSpace())
		_, err = connected.Client.Put(t.Context(), "/key", "value")
		require.NoError(t, err)
	}
	t.Run("asked for TLS", func(t *testing.T) {
		t.Parallel()
		_, err := connect(t, cluster.Settings{Endpoints: []string{"https://" + bare}, DialTimeout: time.Second})
		requireProblem(t, err, problem.Etcd, "does not speak TLS", "http://"+bare)
	})
	t.Run("given a user though it has no users", func(t *testing.T) {
		t.Parallel()
		_, err := connect(t, cluster.Settings{Endpoints: []string{endpoint}, User: "me", Password: "secret"})
		require.NoError(t, err)
	})
	t.Run("one dead endpoint of two", func(t *testing.T) {
		t.Parallel()
		_, err := connect(t, cluster.Settings{Endpoints: []string{endpoint, deadEndpoint(t)}})
		require.NoError(t, err)
	})
}

// deadEndpoint is one where nothing listens, below the ports that outgoing connections get.
func deadEndpoint(t *testing.T) string {
	t.Helper()
	etcd := etcdtest.Start(t)
	etcd.Member(0).Stop()
	return etcd.Member(0).Endpoint()
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	_, err := connect(t, cluster.Settings{Endpoints: []string{deadEndpoint(t)}, DialTimeout: 500 * time.Millisecond})
	requireProblem(t, err, problem.Etcd, "cannot be reached", "nothing listens at", "Check that etcd runs")

	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close() //nolint:errcheck // It has not accepted anything.
	_, err = connect(t, cluster.Settings{Endpoints: []string{silent.Addr().String()}, DialTimeout: 500 * time.Millisecond})
	requireProblem(t, err, problem.Etcd, "takes connections but did not answer", "no etcd")
	_, err = connect(t, cluster.Settings{Endpoints: []string{silent.Addr().String()}, DialTimeout: 500 * time.Millisecond,
		User: "me", Password: "secret"})
	requireProblem(t, err, problem.Etcd, "takes connections but did not answer")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = cluster.Connect(ctx, cluster.Settings{Endpoints: []string{silent.Addr().String()}, Prefix: prefix,
		DialTimeout: time.Minute}, zap.NewNop())
	require.ErrorIs(t, err, context.Canceled)
}

func TestQuorumLost(t *testing.T) {
	t.Parallel()
	etcd := etcdtest.StartCluster(t, 3)
	etcd.Member(0).Stop()
	etcd.Member(2).Stop()
	_, err := connect(t, cluster.Settings{Endpoints: etcd.Endpoints(), DialTimeout: 3 * time.Second})
	requireProblem(t, err, problem.Etcd, "did not answer", "nothing listens at", "no leader")
}

// speakTLS makes a member serve TLS with a certificate of its own, kept as cert.pem and key.pem in dir.
func speakTLS(t *testing.T, dir string, wantClient bool) etcdtest.Option {
	t.Helper()
	info, err := transport.SelfCert(zap.NewNop(), dir, []string{"127.0.0.1:0"}, 1, x509.ExtKeyUsageClientAuth)
	require.NoError(t, err)
	return func(cfg *embed.Config) {
		cfg.ClientTLSInfo = info
		cfg.ClientTLSInfo.ClientCertAuth = wantClient
		if wantClient {
			cfg.ClientTLSInfo.TrustedCAFile = info.CertFile
		}
		for i := range cfg.ListenClientUrls {
			cfg.ListenClientUrls[i].Scheme = "https"
		}
	}
}

func certificateIn(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	etcd := etcdtest.Start(t, speakTLS(t, dir, false))
	speakTLS(t, other, false)
	cert, _ := certificateIn(t, dir)
	foreign, _ := certificateIn(t, other)
	endpoint := etcd.Member(0).Endpoint()
	bare := etcd.Member(0).Address()
	port := bare[strings.LastIndex(bare, ":"):]
	require.Equal(t, "https://"+bare, endpoint)

	_, err := connect(t, cluster.Settings{Endpoints: []string{endpoint}, CACert: cert})
	require.NoError(t, err)
	_, err = connect(t, cluster.Settings{Endpoints: []string{bare}, CACert: cert})
	require.NoError(t, err)
	_, err = connect(t, cluster.Settings{Endpoints: []string{endpoint}, InsecureSkipVerify: true})
	require.NoError(t, err)

	const short = time.Second
	_, err = connect(t, cluster.Settings{Endpoints: []string{bare}, DialTimeout: short})
	requireProblem(t, err, problem.Etcd, "speaks TLS, and was not asked to", endpoint, "--cacert")
	_, err = connect(t, cluster.Settings{Endpoints: []string{endpoint}, DialTimeout: short})
	requireProblem(t, err, problem.Etcd, "unknown authority", "--cacert")
	_, err = connect(t, cluster.Settings{Endpoints: []string{endpoint}, CACert: foreign, DialTimeout: short})
	requireProblem(t, err, problem.Etcd, "unknown authority", "--cacert")
	byName := []string{"https://localhost" + port}
	_, err = connect(t, cluster.Settings{Endpoints: byName, CACert: cert, DialTimeout: short})
	requireProblem(t, err, problem.Etcd, "another name")
}

func TestClientCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	etcd := etcdtest.Start(t, speakTLS(t, dir, true))
	cert, key := certificateIn(t, dir)
	endpoints := etcd.Endpoints()

	_, err := connect(t, cluster.Settings{Endpoints: endpoints, CACert: cert, Cert: cert, Key: key})
	require.NoError(t, err)
	_, err = connect(t, cluster.Settings{Endpoints: endpoints, CACert: cert, DialTimeout: time.Second})
	requireProblem(t, err, problem.Etcd, "certificate", "--cert and --key")
}

func TestUsersAndPermissions(t *testing.T) {
	t.Parallel()
	etcd := etcdtest.Start(t)
	admin := etcd.Client(t)
	ctx := t.Context()
	for _, user := range []string{"root", "member", "stranger"} {
		_, err := admin.UserAdd(ctx, user, "secret-"+user)
		require.NoError(t, err)
		_, err = admin.RoleAdd(ctx, user)
		require.NoError(t, err)
		_, err = admin.UserGrantRole(ctx, user, user)
		require.NoError(t, err)
	}
	_, err := admin.RoleGrantPermission(ctx, "member", prefix+"/", clientv3.GetPrefixRangeEnd(prefix+"/"),
		clientv3.PermissionType(clientv3.PermReadWrite))
	require.NoError(t, err)
	_, err = admin.AuthEnable(ctx)
	require.NoError(t, err)
	endpoints := etcd.Endpoints()

	connected, err := connect(t, cluster.Settings{Endpoints: endpoints, User: "member", Password: "secret-member"})
	require.NoError(t, err)
	_, err = connected.Client.Put(ctx, prefix+"/key", "value")
	require.NoError(t, err)
	_, err = connected.Client.Put(ctx, "/elsewhere", "value")
	requireProblem(t, connected.Explain(err), problem.Etcd,
		`denies user "member" permission to read and write /tenure/v1/`, "etcdctl role grant-permission")

	_, err = connect(t, cluster.Settings{Endpoints: endpoints, User: "member", Password: "secret-wrong"})
	requireProblem(t, err, problem.Etcd, `password of user "member"`, "TENURE_PASSWORD")
	require.NotContains(t, err.Error(), "secret-wrong")
	_, err = connect(t, cluster.Settings{Endpoints: endpoints, User: "nobody", Password: "secret"})
	requireProblem(t, err, problem.Etcd, `"nobody", or has no such user`)
	_, err = connect(t, cluster.Settings{Endpoints: endpoints})
	requireProblem(t, err, problem.Etcd, "who is asking", "--user")
	_, err = connect(t, cluster.Settings{Endpoints: endpoints, User: "stranger", Password: "secret-stranger"})
	requireProblem(t, err, problem.Etcd,
		`denies user "stranger" permission to read and write /tenure/v1/`, "etcdctl role grant-permission")
}

func TestOutOfSpace(t *testing.T) {
	t.Parallel()
	etcd := etcdtest.Start(t, func(cfg *embed.Config) { cfg.QuotaBackendBytes = 1 << 20 })
	filler := etcd.Client(t)
	var full error
	for value := strings.Repeat("x", 100<<10); full == nil; {
		_, full = filler.Put(t.Context(), "/fill", value)
	}
	require.ErrorContains(t, full, "space")
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		connected, err := connect(t, cluster.Settings{Endpoints: etcd.Endpoints()})
		require.NoError(c, err, "an etcd without space still reads")
		err = connected.RequireSpace()
		require.Error(c, err)
		require.ErrorContains(c, err, "out of space")
		require.ErrorContains(c, err, "alarm disarm")
	}, 20*time.Second, 50*time.Millisecond)
	var connected cluster.Cluster
	require.ErrorContains(t, connected.Explain(full), "out of space")
	other := errors.New("something else")
	require.Equal(t, other, connected.Explain(other))
}
