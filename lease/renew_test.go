package lease

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// bubble runs a test in a synctest bubble with a fake etcd and a clock.
func bubble(t *testing.T, test func(t *testing.T, f *fakeEtcd, clock *bubbleClock)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, newFakeEtcd(), &bubbleClock{})
	})
}

func currentTerm(t *testing.T, k *Keeper) *Term {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	term, err := k.Term(ctx)
	require.NoError(t, err)
	return term
}

// waitEnd waits for a term's end, which is not far off in a bubble.
func waitEnd(t *testing.T, term *Term) {
	t.Helper()
	select {
	case <-term.Done():
	case <-time.After(time.Hour):
		t.Fatal("the term did not end")
	}
}

func TestAtRestOneRenewalAndOneReadEveryThird(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		f.delay = func() time.Duration { return time.Millisecond }
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		pause(t.Context(), time.Hour)
		require.NoError(t, term.Err())
		const expected = 3600 * 3 / 10
		require.InDelta(t, expected, f.count("keepAlive"), expected/50)
		require.InDelta(t, f.count("keepAlive"), f.count("read"), 1)
		require.Equal(t, f.count("read"), f.count("read "+defaultReadKey))
		require.Equal(t, 1, f.count("grant"))
		require.Equal(t, 1, f.overlap())
	})
}

func TestTrustIsDatedFromTheSend(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		f.delay = func() time.Duration { return 250 * time.Millisecond }
		granting := time.Now()
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		require.Equal(t, granting.Add(9*time.Second), term.TrustedUntil())

		f.set(func() {
			f.answer = func(request string, _ *pb.ResponseHeader) error {
				if request == "keepAlive" {
					granting = time.Now().Add(-250 * time.Millisecond) // when this renewal was sent
				}
				return nil
			}
		})
		pause(t.Context(), 6*time.Second)
		synctest.Wait()
		require.Equal(t, granting.Add(9*time.Second), term.TrustedUntil())
	})
}

func TestSilenceEndsTheTermWhenTrustDoes(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		pause(t.Context(), time.Minute)
		f.set(func() { f.silent = true })
		until := term.TrustedUntil()
		waitEnd(t, term)
		require.Equal(t, until, time.Now())
		require.ErrorIs(t, term.Err(), ErrUnreachable)
		require.True(t, f.alive(term.ID()), "the margin")
		require.False(t, term.TrustedUntil().After(time.Now()))

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := k.Term(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, ErrUnreachable)
		require.Greater(t, f.count("grant"), 2, "it tries again by itself")

		f.set(func() { f.silent = false })
		next := currentTerm(t, k)
		require.NotEqual(t, term.ID(), next.ID())
		require.Error(t, term.Err(), "a lost term is over for ever")
	})
}

func TestEachUseLooksAtTheClock(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		clock.suspended.Add(int64(8 * time.Second))
		require.NoError(t, term.Err())
		clock.suspended.Add(int64(time.Second))
		require.ErrorIs(t, term.Err(), ErrUnreachable, "no timer has run")
		require.False(t, term.TrustedUntil().After(time.Now()))
		ended := time.Now()
		require.NotEqual(t, term.ID(), currentTerm(t, k).ID())
		require.Equal(t, ended, time.Now())
	})
}

func TestSuspensionIsNoticedSoonAfterwards(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		pause(t.Context(), 100*time.Millisecond)
		resumed := time.Now()
		clock.suspended.Add(int64(time.Minute))
		waitEnd(t, term)
		require.LessOrEqual(t, time.Since(resumed), time.Second, "the margin")
	})
}

func TestARenewalCountsOnlyIfTheLeaderStayed(t *testing.T) {
	tests := map[string]struct {
		before, renewal, read uint64
		counts                bool
	}{
		"same leader": {before: 5, renewal: 5, read: 5, counts: true},
		"a leader of the past renewed, the read knows its successor": {before: 5, renewal: 5, read: 6},
		"a new leader since the last read":                           {before: 5, renewal: 6, read: 6},
		"a new leader since the renewal":                             {before: 6, renewal: 6, read: 7},
		"a lagging member passed the renewal on":                     {before: 6, renewal: 5, read: 6},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
				t.Helper()
				f.header.RaftTerm = test.before
				k := fakeKeeper(t, f, clock.now)
				f.set(func() {
					f.answer = func(request string, header *pb.ResponseHeader) error {
						header.RaftTerm = map[string]uint64{"keepAlive": test.renewal, "read": test.read}[request]
						return nil
					}
				})
				_, known := k.cluster.known()
				require.Equal(t, test.before, known, "the grant told it")
				err := k.attempt(t.Context(), currentTerm(t, k), known)
				if test.counts {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, errLeaderMoved)
				}
				_, known = k.cluster.known()
				require.Equal(t, test.read, known, "the read told it")
			})
		})
	}
}

func TestANewLeaderCostsOneMoreRenewal(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		f.set(func() { f.header.RaftTerm++ })
		granted := term.TrustedUntil()
		for !term.TrustedUntil().After(granted) {
			require.NoError(t, term.Err())
			pause(t.Context(), time.Millisecond)
			synctest.Wait()
		}
		require.Equal(t, 2, f.count("keepAlive"))
		require.Less(t, time.Until(granted), 9*time.Second*2/3, "with the first renewal")
		require.Greater(t, time.Until(term.TrustedUntil()), 9*time.Second-2*time.Millisecond, "and at once")
		pause(t.Context(), time.Minute)
		require.InDelta(t, 1+60*3/10, f.count("keepAlive"), 4)
	})
}

func TestLeaderThatNeverAgreesEndsTheTerm(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		f.set(func() {
			f.answer = func(request string, header *pb.ResponseHeader) error {
				if request == "keepAlive" {
					header.RaftTerm--
				}
				return nil
			}
		})
		until := term.TrustedUntil()
		waitEnd(t, term)
		require.Equal(t, until, time.Now())
		require.ErrorIs(t, term.Err(), ErrNoLeader)
		require.Less(t, f.count("keepAlive"), 30, "retries are spaced")
	})
}

func TestAnswersThatEndTheTermAtOnce(t *testing.T) {
	tests := map[string]struct {
		answer func(request string, header *pb.ResponseHeader) error
		lose   bool // the lease
		reason error
	}{
		"lease not found": {
			answer: func(request string, _ *pb.ResponseHeader) error {
				if request == "keepAlive" {
					return rpctypes.ErrLeaseNotFound
				}
				return nil
			},
			reason: ErrLeaseGone,
		},
		"a lease without time": { // which is how etcd says it
			lose:   true,
			reason: ErrLeaseGone,
		},
		"lease not found by another cluster": {
			lose: true,
			answer: func(_ string, header *pb.ResponseHeader) error {
				header.ClusterId = 2
				return nil
			},
			reason: ErrClusterChanged,
		},
		"a renewal from another cluster": {
			answer: func(request string, header *pb.ResponseHeader) error {
				if request == "keepAlive" {
					header.ClusterId = 2
				}
				return nil
			},
			reason: ErrClusterChanged,
		},
		"a read from another cluster": {
			answer: func(request string, header *pb.ResponseHeader) error {
				if request == "read" {
					header.ClusterId = 2
				}
				return nil
			},
			reason: ErrClusterChanged,
		},
		"a read from the past": {
			answer: func(request string, header *pb.ResponseHeader) error {
				if request == "read" {
					header.Revision = 9
				}
				return nil
			},
			reason: ErrClusterChanged,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
				t.Helper()
				k := fakeKeeper(t, f, clock.now)
				causes := make(chan error, 1)
				_, err := k.Attach(&fakeHolder{takeOver: func(_ context.Context, _ *Term, cause error) error {
					causes <- cause
					return nil
				}})
				require.NoError(t, err)
				term := currentTerm(t, k)
				f.set(func() {
					f.answer = test.answer
					if test.lose {
						delete(f.leases, term.ID())
					}
				})
				start := time.Now()
				waitEnd(t, term)
				require.Less(t, time.Since(start), 4*time.Second, "the first renewal")
				require.ErrorIs(t, term.Err(), test.reason)
				require.ErrorIs(t, <-causes, test.reason)
			})
		})
	}
}

func TestRevisionsOfRenewalsMayLag(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		f.set(func() {
			f.answer = func(request string, header *pb.ResponseHeader) error {
				if request == "keepAlive" {
					header.Revision = 2
				}
				return nil
			}
		})
		pause(t.Context(), time.Minute)
		require.NoError(t, term.Err())
	})
}

func TestAClusterThatChangedWhileEtcdWasAwayIsNoticedByTheGrant(t *testing.T) {
	for name, header := range map[string]*pb.ResponseHeader{
		"another cluster": {ClusterId: 2, Revision: 10, RaftTerm: 5},
		"an older state":  {ClusterId: 1, Revision: 9, RaftTerm: 5},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
				t.Helper()
				k := fakeKeeper(t, f, clock.now)
				causes := make(chan error, 1)
				_, err := k.Attach(&fakeHolder{takeOver: func(_ context.Context, _ *Term, cause error) error {
					causes <- cause
					return nil
				}})
				require.NoError(t, err)
				term := currentTerm(t, k)
				f.set(func() { f.silent = true })
				waitEnd(t, term)
				f.set(func() {
					f.silent = false
					f.header.ClusterId, f.header.Revision = header.GetClusterId(), header.GetRevision()
				})
				cause := <-causes
				require.ErrorIs(t, cause, ErrClusterChanged)
				require.ErrorIs(t, cause, ErrUnreachable)
				next := currentTerm(t, k)
				pause(t.Context(), time.Minute)
				require.NoError(t, next.Err(), "the new cluster is the one that counts now")
			})
		})
	}
}

func TestASlowLinkKeepsTheTerm(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		f.ttl = 3 * time.Second
		f.delay = func() time.Duration { return 500 * time.Millisecond }
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		pause(t.Context(), 10*time.Minute)
		require.NoError(t, term.Err())
		require.LessOrEqual(t, f.overlap(), maxAttempts)
		require.Less(t, f.count("keepAlive"), 10*60*3)
	})
}

func TestALinkThatBecomesSlowKeepsTheTerm(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		f.ttl = 5 * time.Second
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		pause(t.Context(), time.Minute)
		f.set(func() { f.delay = func() time.Duration { return 500 * time.Millisecond } })
		pause(t.Context(), 10*time.Minute)
		require.NoError(t, term.Err())
	})
}

func TestALinkTooSlowForTheTTLGivesNoTerm(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		f.ttl = 2 * time.Second // trusted for 1.8 s, and a confirmed renewal takes 2 s
		f.delay = func() time.Duration { return 500 * time.Millisecond }
		k := fakeKeeper(t, f, clock.now)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := k.Term(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, ErrUnreachable)
		require.Less(t, f.count("grant"), 20)
		require.Less(t, len(k.unrevoked()), 2, "leases that nobody had are left to run out")
	})
}

func TestFailuresAreRetriedWithinTheThird(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
		t.Helper()
		k := fakeKeeper(t, f, clock.now)
		term := currentTerm(t, k)
		pause(t.Context(), time.Minute)
		before := f.count("keepAlive")
		f.set(func() {
			f.answer = func(string, *pb.ResponseHeader) error { return rpctypes.ErrNoLeader }
		})
		pause(t.Context(), 4*time.Second) // with what the last renewal leaves of the third, less than trust lasts
		require.NoError(t, term.Err())
		tries := f.count("keepAlive") - before
		require.Greater(t, tries, 1)
		require.Less(t, tries, 25)
		f.set(func() { f.answer = nil })
		pause(t.Context(), time.Second+time.Millisecond) // the longest wait between retries
		synctest.Wait()
		require.Greater(t, time.Until(term.TrustedUntil()), 7*time.Second)
	})
}

func TestTheReasonOfALapseIsTheLastFailure(t *testing.T) {
	for name, test := range map[string]struct{ failure, reason error }{
		"no leader":         {rpctypes.ErrNoLeader, ErrNoLeader},
		"permission denied": {rpctypes.ErrPermissionDenied, ErrPermissionDenied},
		"overloaded":        {rpctypes.ErrTooManyRequests, ErrUnreachable},
		"unheard of":        {errBoo, ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
				t.Helper()
				k := fakeKeeper(t, f, clock.now)
				term := currentTerm(t, k)
				f.set(func() {
					f.answer = func(string, *pb.ResponseHeader) error { return test.failure }
				})
				until := term.TrustedUntil()
				waitEnd(t, term)
				require.Equal(t, until, time.Now(), "nothing is given up before trust ends")
				require.ErrorIs(t, term.Err(), test.reason)
				require.ErrorIs(t, term.Err(), test.failure)
			})
		})
	}
}

// TestTrustNeverOutlivesTheLease breaks network and clock at random. The clocks of keeper and etcd run at one rate.
func TestTrustNeverOutlivesTheLease(t *testing.T) {
	seed := testSeed(t)
	for run := range uint64(20) {
		bubble(t, func(t *testing.T, f *fakeEtcd, clock *bubbleClock) {
			t.Helper()
			random := rand.New(rand.NewPCG(seed, run))
			f.ttl = time.Duration(1+random.IntN(5)) * time.Second
			worst := time.Duration(0)
			f.delay = func() time.Duration { // the caller holds the fake's lock, and so random's
				if worst == 0 {
					return 0
				}
				return time.Duration(random.Int64N(int64(worst)))
			}
			k := fakeKeeper(t, f, clock.now)
			trusted := 0
			for range 2000 {
				var step time.Duration
				f.set(func() {
					step = time.Duration(random.IntN(200)) * time.Millisecond
					switch random.IntN(40) {
					case 0:
						f.silent = !f.silent
					case 1:
						worst = time.Duration(random.Int64N(int64(2 * f.ttl)))
					case 2:
						worst, f.silent = 0, false
					case 3: // a suspension, which etcd's clock does not share
						asleep := time.Duration(random.Int64N(int64(f.ttl)))
						clock.suspended.Add(int64(asleep))
						for id := range f.leases {
							f.leases[id] = f.leases[id].Add(-asleep)
						}
					case 4:
						f.header.RaftTerm++
					case 5:
						f.header.Revision++
					}
				})
				pause(t.Context(), step)
				k.mu.Lock()
				term := k.current
				k.mu.Unlock()
				if term != nil && term.Err() == nil {
					trusted++
					require.True(t, f.alive(term.ID()), "seed %d", seed)
				}
			}
			require.Positive(t, trusted)
		})
	}
}
