package compare_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
	"github.com/tenure-go/tenure/lease"
)

// leaseKeeper is something that keeps a lease: it returns the lease, and what tells that it is lost.
type leaseKeeper struct {
	name string
	keep func(t *testing.T, client *clientv3.Client) (id clientv3.LeaseID, lost <-chan struct{}, end func())
}

func leaseKeepers() []leaseKeeper {
	return []leaseKeeper{
		{"Tenure's keeper", func(t *testing.T, client *clientv3.Client) (clientv3.LeaseID, <-chan struct{}, func()) {
			t.Helper()
			keeper, err := lease.NewKeeper(t.Context(), client, &lease.Options{TTL: shortTTL})
			require.NoError(t, err)
			term, err := keeper.Term(t.Context())
			require.NoError(t, err)
			return term.ID(), term.Done(), func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				_ = keeper.Close(ctx) // It may be cut off.
			}
		}},
		{"concurrency.Session", func(t *testing.T, client *clientv3.Client) (clientv3.LeaseID, <-chan struct{}, func()) {
			t.Helper()
			session, err := concurrency.NewSession(client, concurrency.WithTTL(int(shortTTL.Seconds())))
			require.NoError(t, err)
			return session.Lease(), session.Done(), session.Orphan
		}},
	}
}

// leases measures how soon there is a lease, and whether who keeps it is told of its loss before a key on it has gone.
// In each round the network falls silent at another moment between two renewals.
func (w *world) leases(t *testing.T, rounds int) []figure {
	t.Helper()
	var all []figure
	for _, k := range leaseKeepers() {
		var granted, late []float64
		for round := range rounds {
			proxy := faultproxy.New(t, strings.TrimPrefix(w.endpoints[0], "http://"))
			client := etcdtest.NewClient(t, []string{"http://" + proxy.Addr()})
			_, err := client.Get(t.Context(), "connected")
			require.NoError(t, err)

			began := time.Now()
			id, lost, end := k.keep(t, client)
			granted = append(granted, time.Since(began).Seconds()*1e3)

			key := fmt.Sprintf("/peer/leases/%x", id)
			put, err := w.client.Put(t.Context(), key, "", clientv3.WithLease(id))
			require.NoError(t, err)
			watching, stop := context.WithTimeout(t.Context(), time.Minute)
			gone := w.client.Watch(watching, key, clientv3.WithRev(put.Header.Revision+1))
			// Renewals tell nobody, and each round takes another moment between two of them.
			time.Sleep(2*time.Second + shortTTL/3*time.Duration(round)/time.Duration(rounds))
			proxy.Silence()
			told := make(chan time.Time, 1)
			go func() {
				<-lost
				told <- time.Now()
			}()
			<-gone
			goneAt := time.Now()
			require.NoError(t, watching.Err())
			stop()
			late = append(late, (<-told).Sub(goneAt).Seconds())
			end()
			proxy.Close()
			_ = client.Close()
		}
		all = append(all,
			figure{name: k.name + ": until there is a lease", values: granted, unit: "ms"},
			figure{name: k.name + ": told of its loss, after the keys on it had gone", values: late, unit: "s"},
		)
	}
	all[1].most = new(0.0)
	return all
}
