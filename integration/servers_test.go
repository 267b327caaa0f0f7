package integration_test

import (
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/etcdstore/storetest"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/processtest"
)

// The servers that people have besides the one that everything else is tested with: what a store promises holds on
// them, and nothing goes wrong on them when other things do.
func TestServersThatPeopleHave(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"etcd35", "etcd36"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			server := filepath.Join(t.TempDir(), version)
			build := exec.Command("go", "build", "-C", filepath.Join("servers", version), "-o", server, ".")
			built, err := build.CombinedOutput()
			require.NoError(t, err, "%s", built)
			t.Run("conformance", func(t *testing.T) {
				t.Parallel()
				examineStores(t, etcdtest.StartServers(t, server, 1))
			})
			t.Run("faults", func(t *testing.T) {
				t.Parallel()
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				w := newWorldOn(t, seed, func(options ...etcdtest.Option) *etcdtest.Processes {
					return etcdtest.StartServers(t, server, 3, options...)
				})
				w.lacks = func(fault string) bool {
					return strings.HasSuffix(fault, "is isolated") || fault == "disks are slow" || fault == partedFromLeader
				}
				w.suffer(20 * time.Second)
			})
		})
	}
}

// examineStores runs the conformance suite on stores on an etcd.
func examineStores(t *testing.T, etcd *etcdtest.Processes) {
	t.Helper()
	newClient := func() *clientv3.Client { return etcd.Client(t) }
	var mu sync.Mutex
	processes := make(map[etcdstore.CheckpointStore]*processtest.Process)
	process := func(store etcdstore.CheckpointStore) *processtest.Process {
		mu.Lock()
		defer mu.Unlock()
		return processes[store]
	}
	open := func(t *testing.T) etcdstore.CheckpointStore {
		t.Helper()
		p := processtest.StartWith(t, newClient, nil)
		mu.Lock()
		defer mu.Unlock()
		processes[p.Store] = p
		return p.Store
	}
	storetest.Run(t, open, storetest.Capabilities{
		Fences: true, Etcd: newClient(),
		Kill:  func(t *testing.T, store etcdstore.CheckpointStore) { t.Helper(); process(store).Kill(t) },
		Lapse: func(t *testing.T, store etcdstore.CheckpointStore) { t.Helper(); process(store).Lapse(t) },
	})
}
