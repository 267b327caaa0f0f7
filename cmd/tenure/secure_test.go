package main

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// secured is an etcd that wants certificates and passwords, with a user for the fleet, who has what the documentation
// says and no more, and another with a prefix of its own.
type secured struct {
	*fleet

	tls string // the folder of cert.pem and key.pem
}

const password = "open-sesame" // which no log may show

func secure(t *testing.T) *secured {
	t.Helper()
	s := &secured{tls: t.TempDir()}
	info, err := transport.SelfCert(zap.NewNop(), s.tls, []string{"127.0.0.1:0"}, 1, x509.ExtKeyUsageClientAuth)
	require.NoError(t, err)
	etcd := etcdtest.Start(t, etcdtest.Defaults, func(cfg *embed.Config) {
		cfg.ClientTLSInfo = info
		cfg.ClientTLSInfo.ClientCertAuth, cfg.ClientTLSInfo.TrustedCAFile = true, info.CertFile
		for i := range cfg.ListenClientUrls {
			cfg.ListenClientUrls[i].Scheme = "https"
		}
	})
	s.fleet = &fleet{
		t: t, endpoints: strings.Join(etcd.Endpoints(), ","), beats: t.TempDir(), ids: []string{"0", "1", "2"},
	}
	readWrite := clientv3.PermissionType(clientv3.PermReadWrite)
	etcdtest.EnableAuth(t, s.client(""), password,
		etcdtest.Grant{User: "fleet", Prefix: "/tenure/v1/", Permission: readWrite},
		etcdtest.Grant{User: "stranger", Prefix: "/tenure/v2/", Permission: readWrite})
	return s
}

// client opens a client as a user.
func (s *secured) client(user string) *clientv3.Client {
	s.t.Helper()
	info := transport.TLSInfo{
		CertFile: filepath.Join(s.tls, "cert.pem"), KeyFile: filepath.Join(s.tls, "key.pem"),
		TrustedCAFile: filepath.Join(s.tls, "cert.pem"),
	}
	config, err := info.ClientConfig()
	require.NoError(s.t, err)
	settings := clientv3.Config{Endpoints: strings.Split(s.endpoints, ","), TLS: config, Logger: zap.NewNop()}
	if user != "" {
		settings.Username, settings.Password = user, password
	}
	client, err := clientv3.New(settings)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}

// flags are what a command is told of all that, with the password in a file or in the environment.
func (s *secured) flags(user string) []string {
	return []string{
		"--cacert", filepath.Join(s.tls, "cert.pem"), "--cert", filepath.Join(s.tls, "cert.pem"),
		"--key", filepath.Join(s.tls, "key.pem"), "--user", user,
	}
}

// A fleet works on an etcd with TLS and authentication, as a user with the documented permissions; operators steer it;
// and a user of another prefix can read and change nothing of it.
func TestAFleetOnASecuredEtcd(t *testing.T) {
	s := secure(t)
	t.Setenv("TENURE_PASSWORD", password)
	first := s.run(append(s.flags("fleet"), "--owner-id", "a", "--", "sh", "-c", beater)...)
	s.awaitBeats(nil)
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte(password+"\n"), 0o600))
	second := s.run(append(s.flags("fleet"), "--password-file", file, "--owner-id", "b", "--", "sh", "-c", beater)...)
	operate := func(user, args string) result {
		return command(t, map[string]string{"TENURE_PASSWORD": password},
			append(append(strings.Fields(args), "--endpoints", s.endpoints), s.flags(user)...)...)
	}
	require.Eventually(t, func() bool {
		return strings.Contains(operate("fleet", "member list orders/billing").stdout, "\nb ")
	}, time.Minute, 50*time.Millisecond)
	operate("fleet", "doctor").require(t, exitOK)
	operate("fleet", "member drain orders/billing a").require(t, exitOK)

	stranger := s.client("stranger")
	ctx := t.Context()
	const key = "/tenure/v1/local/orders/billing/checkpoint/0"
	_, err := stranger.Get(ctx, key)
	require.ErrorIs(t, err, rpctypes.ErrPermissionDenied)
	_, err = stranger.Put(ctx, key, "")
	require.ErrorIs(t, err, rpctypes.ErrPermissionDenied)
	_, err = stranger.Delete(ctx, "/tenure/v1/", clientv3.WithPrefix())
	require.ErrorIs(t, err, rpctypes.ErrPermissionDenied)
	for _, op := range []clientv3.Op{clientv3.OpGet(key), clientv3.OpPut(key, ""), clientv3.OpDelete(key)} {
		_, err = stranger.Txn(ctx).Then(clientv3.OpTxn(nil, []clientv3.Op{op}, nil)).Commit()
		require.ErrorIs(t, err, rpctypes.ErrPermissionDenied, "nor by a nested transaction")
	}
	watched := <-stranger.Watch(ctx, "/tenure/v1/", clientv3.WithPrefix())
	require.ErrorContains(t, watched.Err(), "permission denied")
	operate("stranger", "partition list orders/billing").require(t, exitEtcd, `denies user "stranger" permission`)
	operate("stranger", "group list --prefix /tenure/v2").require(t, exitOK)

	for _, runner := range []*runner{first, second} {
		runner.signal(syscall.SIGTERM)
		require.NoError(t, runner.ended())
		require.NotContains(t, runner.stderr.String(), password)
	}
	s.requireOneAtATime()
	s.requireCountsOn()
}
