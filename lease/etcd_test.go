package lease

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
)

func TestMain(m *testing.M) {
	etcdtest.Main(m)
}

const patience = 30 * time.Second

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func startKeeper(t *testing.T, client *clientv3.Client, ttl time.Duration) *Keeper {
	t.Helper()
	k, err := NewKeeper(soon(t), client, &Options{TTL: ttl, Logger: zaptest.NewLogger(t)})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, k.Close(ctx))
	})
	return k
}

func requireTerm(t *testing.T, k *Keeper) *Term {
	t.Helper()
	term, err := k.Term(soon(t))
	require.NoError(t, err)
	require.NoError(t, term.Err())
	return term
}

func requireEnd(t *testing.T, term *Term, reason error) {
	t.Helper()
	select {
	case <-term.Done():
		require.ErrorIs(t, term.Err(), reason)
	case <-soon(t).Done():
		t.Fatal("the term did not end")
	}
}

func putKey(t *testing.T, client *clientv3.Client, term *Term, key string) {
	t.Helper()
	_, err := client.Put(soon(t), key, "", clientv3.WithLease(term.ID()))
	require.NoError(t, err)
}

func requireKey(t *testing.T, client *clientv3.Client, there bool) {
	t.Helper()
	got, err := client.Get(soon(t), "key")
	require.NoError(t, err)
	require.Equal(t, there, len(got.Kvs) == 1)
}

// requireRenewed waits until a renewal sent from now on is confirmed.
func requireRenewed(t *testing.T, term *Term) {
	t.Helper()
	start := time.Now()
	ctx := soon(t)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for term.TrustedUntil().Sub(start) < term.ttl-term.margin {
		require.NoError(t, term.Err())
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatal("not renewed")
		}
	}
}

func TestTermOutlivesItsTTLAndCloseRevokes(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	k := startKeeper(t, client, time.Second)
	term := requireTerm(t, k)
	putKey(t, client, term, "key")
	for start := time.Now(); time.Since(start) < 3*time.Second; { // three TTLs
		requireRenewed(t, term)
	}
	require.True(t, term.TrustedUntil().After(time.Now()))
	requireKey(t, client, true)
	require.NoError(t, k.Close(soon(t)))
	requireKey(t, client, false)
	require.ErrorIs(t, term.Err(), ErrClosed)
	require.False(t, term.TrustedUntil().After(time.Now()))
	_, err := k.Term(soon(t))
	require.ErrorIs(t, err, ErrClosed)
}

func TestLeaseRevokedFromOutside(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	k := startKeeper(t, client, time.Second)
	term := requireTerm(t, k)
	_, err := client.Revoke(soon(t), term.ID())
	require.NoError(t, err)
	requireEnd(t, term, ErrLeaseGone)
	next := requireTerm(t, k)
	require.NotEqual(t, term.ID(), next.ID())
	requireEnd(t, term, ErrLeaseGone)
}

func TestNoSpace(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, func(cfg *embed.Config) { cfg.QuotaBackendBytes = 256 << 10 })
	client := cluster.Client(t)
	k := startKeeper(t, client, 2*time.Second)
	term := requireTerm(t, k)
	putKey(t, client, term, "key")
	cluster.FillUp(t)

	// Renewals go on.
	for start := time.Now(); time.Since(start) < 3*time.Second; {
		requireRenewed(t, term)
	}
	requireKey(t, client, true)

	// There is no new lease, and the keeper says why.
	_, err := client.Revoke(soon(t), term.ID())
	require.NoError(t, err)
	requireEnd(t, term, ErrLeaseGone)
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = k.Term(short)
	require.ErrorIs(t, err, ErrNoSpace)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = NewKeeper(short, client, nil)
	require.Error(t, err)

	// Once there is space, there is a term.
	cluster.FreeSpace(t)
	requireTerm(t, k)
}

func TestAuthenticationExpiresAndPermissionIsDenied(t *testing.T) {
	t.Parallel()
	// The token runs out between any two renewals.
	cluster := etcdtest.Start(t, func(cfg *embed.Config) { cfg.AuthTokenTTL = 1 })
	open := cluster.Client(t)
	ctx := soon(t)
	for _, user := range []string{"root", "app"} {
		_, err := open.UserAdd(ctx, user, user)
		require.NoError(t, err)
		_, err = open.RoleAdd(ctx, user)
		require.NoError(t, err)
		_, err = open.UserGrantRole(ctx, user, user)
		require.NoError(t, err)
	}
	const prefix = "/tenure/v1/"
	_, err := open.RoleGrantPermission(ctx, "app", prefix, clientv3.GetPrefixRangeEnd(prefix),
		clientv3.PermissionType(clientv3.PermReadWrite))
	require.NoError(t, err)
	_, err = open.AuthEnable(ctx)
	require.NoError(t, err)
	as := func(user string) func(*clientv3.Config) {
		return func(cfg *clientv3.Config) { cfg.Username, cfg.Password = user, user }
	}
	_, err = NewKeeper(ctx, open, nil)
	require.ErrorIs(t, err, ErrPermissionDenied, "no user")
	root, app := cluster.Client(t, as("root")), cluster.Client(t, as("app"))

	k := startKeeper(t, app, 6*time.Second)
	term := requireTerm(t, k)
	putKey(t, app, term, prefix+"key")
	for start := time.Now(); time.Since(start) < 7*time.Second; { // longer than one TTL
		requireRenewed(t, term)
	}

	_, err = root.RoleRevokePermission(soon(t), "app", prefix, clientv3.GetPrefixRangeEnd(prefix))
	require.NoError(t, err)
	requireEnd(t, term, ErrPermissionDenied)
	_, err = root.RoleGrantPermission(soon(t), "app", prefix, clientv3.GetPrefixRangeEnd(prefix),
		clientv3.PermissionType(clientv3.PermReadWrite))
	require.NoError(t, err)
	requireRenewed(t, requireTerm(t, k))
}

// TestRenewalsLogInOnce shows that a renewal costs no password hash, which opening a stream does.
func TestRenewalsLogInOnce(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t)
	open := cluster.Client(t)
	_, err := open.UserAdd(soon(t), "root", "root")
	require.NoError(t, err)
	_, err = open.RoleAdd(soon(t), "root")
	require.NoError(t, err)
	_, err = open.UserGrantRole(soon(t), "root", "root")
	require.NoError(t, err)
	_, err = open.AuthEnable(soon(t))
	require.NoError(t, err)
	var logins atomic.Int64
	client := cluster.Client(t, func(cfg *clientv3.Config) {
		cfg.Username, cfg.Password = "root", "root"
		cfg.DialOptions = []grpc.DialOption{grpc.WithChainUnaryInterceptor(func(
			ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker,
			options ...grpc.CallOption,
		) error {
			if strings.HasSuffix(method, "/Authenticate") {
				logins.Add(1)
			}
			return invoke(ctx, method, req, reply, conn, options...)
		})}
	})
	require.EqualValues(t, 1, logins.Load(), "the client's own")
	term := requireTerm(t, startKeeper(t, client, time.Second))
	for start := time.Now(); time.Since(start) < 2*time.Second; {
		requireRenewed(t, term)
	}
	require.EqualValues(t, 2, logins.Load(), "and one for the stream of all renewals")
}

func TestAnotherClusterBehindTheSameAddress(t *testing.T) {
	t.Parallel()
	first, second := etcdtest.Start(t), etcdtest.Start(t)
	p := faultproxy.New(t, first.Member(0).Address())
	k := startKeeper(t, etcdtest.NewClient(t, []string{p.Addr()}), 5*time.Second)
	term := requireTerm(t, k)
	p.SetTarget(second.Member(0).Address())
	p.Reset()
	requireEnd(t, term, ErrClusterChanged)
	next := requireTerm(t, k)
	putKey(t, second.Client(t), next, "key")
}

func TestRestartOfEtcdIsSurvived(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t)
	client := cluster.Client(t)
	k := startKeeper(t, client, 5*time.Second)
	term := requireTerm(t, k)
	putKey(t, client, term, "key")
	cluster.Member(0).Restart()
	requireRenewed(t, term)
	requireKey(t, client, true)
}

// TestStartAndStop starts and stops keepers, their holders and their waiters in every order.
func TestStartAndStop(t *testing.T) {
	t.Parallel()
	client := etcdtest.Start(t).Client(t)
	random := rand.New(rand.NewPCG(testSeed(t), 0))
	var running errgroup.Group
	for range 100 {
		wait := time.Duration(random.IntN(1500)) * time.Millisecond
		revoke, detach, closers := random.IntN(2) == 0, random.IntN(2) == 0, 1+random.IntN(3)
		running.Go(func() error {
			k, err := NewKeeper(soon(t), client, &Options{TTL: time.Second})
			if err != nil {
				return err
			}
			free, err := k.Attach(&fakeHolder{})
			if err != nil {
				return err
			}
			running.Go(func() error { return followTerms(k, client, revoke) })
			pause(t.Context(), wait)
			if detach {
				free()
			}
			for range closers {
				running.Go(func() error { return k.Close(context.Background()) })
			}
			return nil
		})
	}
	require.NoError(t, running.Wait())

	// A grant that a Close cut off may have been made: nobody knows of it, there is nothing on it, and it runs out.
	ctx := soon(t)
	for {
		left, err := client.Leases(ctx)
		require.NoError(t, err)
		if len(left.Leases) == 0 {
			return
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// followTerms waits for term after term until the keeper is closed.
func followTerms(k *Keeper, client *clientv3.Client, revoke bool) error {
	for {
		term, err := k.Term(context.Background())
		if errors.Is(err, ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if revoke {
			_, _ = client.Revoke(context.Background(), term.ID()) // one of many ways to lose it
		}
		<-term.Done()
	}
}
