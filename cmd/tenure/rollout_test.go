package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"sigs.k8s.io/yaml"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// manifestArgs returns the arguments of the StatefulSet in deploy/, up to its program.
func manifestArgs(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/kubernetes/statefulset.yaml")
	require.NoError(t, err)
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var object struct {
			Kind string `json:"kind"`
			Spec struct {
				Template struct {
					Spec struct {
						Containers []struct {
							Args []string `json:"args"`
						} `json:"containers"`
					} `json:"spec"`
				} `json:"template"`
			} `json:"spec"`
		}
		require.NoError(t, yaml.Unmarshal([]byte(document), &object))
		if object.Kind == "StatefulSet" {
			args := object.Spec.Template.Spec.Containers[0].Args
			end := slices.Index(args, "--")
			require.Equal(t, []string{"run", "--group=orders/billing"}, args[:2])
			require.Positive(t, end)
			return args[2:end]
		}
	}
	t.Fatal("there is no StatefulSet")
	return nil
}

// pod is a process that is started as a pod of the manifest's would be.
type pod struct {
	*runner

	name, address string
}

// slowly is how a dozen beaters beat, each of which forks twice a time: other tests want the processors, too.
const slowly = "0.3"

// startPod starts a pod with the manifest's arguments and waits until it is ready.
func (f *fleet) startPod(name string, manifest []string) pod {
	f.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port; the pod takes it
	require.NoError(f.t, err)
	address := listener.Addr().String()
	require.NoError(f.t, listener.Close())
	args := make([]string, len(manifest))
	for i, arg := range manifest {
		args[i] = strings.ReplaceAll(arg, "$(POD_NAME)", name)
	}
	args = slices.Concat(args, []string{"--metrics-addr", address, "--ttl", runTTL.String(),
		"--partitions", strconv.Itoa(len(f.ids)), "--", "sh", "-c", beater})
	p := pod{f.run(args...), name, address}
	require.Eventually(f.t, func() bool { return p.probe("readyz") == http.StatusOK }, time.Minute, 20*time.Millisecond,
		"%s is ready", name)
	return p
}

// probe asks for the status of a path, 0 if nobody answers.
func (p pod) probe(path string) int {
	response, err := http.Get("http://" + p.address + "/" + path)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// term ends a pod as a kubelet does and waits until it has ended by itself.
func (p pod) term() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	require.NoError(p.t, p.ended(), p.name)
}

// settled waits until the partitions are shared out evenly by those pods.
func (f *fleet) settled(pods int) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		shares := f.shares()
		owned, least := 0, len(f.ids)
		for _, n := range shares {
			owned, least = owned+n, min(least, n)
		}
		return len(shares) == pods && owned == len(f.ids) && least == len(f.ids)/pods
	}, time.Minute, 50*time.Millisecond, "shared out by %d pods", pods)
}

// ownersOverTime returns, by partition, who owned it one after the other, from etcd's history.
func (f *fleet) ownersOverTime() map[string][]string {
	f.t.Helper()
	client := etcdtest.NewClient(f.t, strings.Split(f.endpoints, ","))
	const prefix = "/tenure/v1/local/orders/billing/ownership/"
	now, err := client.Get(f.t.Context(), prefix, clientv3.WithPrefix())
	require.NoError(f.t, err)
	owners := make(map[string][]string)
	for resp := range client.Watch(f.t.Context(), prefix, clientv3.WithPrefix(), clientv3.WithRev(1)) {
		require.NoError(f.t, resp.Err())
		require.NotEmpty(f.t, resp.Events)
		for _, e := range resp.Events {
			if e.Type != clientv3.EventTypePut {
				continue
			}
			var record struct {
				OwnerID string `json:"owner_id"`
			}
			require.NoError(f.t, yaml.Unmarshal(e.Kv.Value, &record))
			id := path.Base(string(e.Kv.Key))
			if before := owners[id]; len(before) == 0 || before[len(before)-1] != record.OwnerID {
				owners[id] = append(before, record.OwnerID)
			}
		}
		if last := resp.Events[len(resp.Events)-1].Kv.ModRevision; last >= latestOf(now) {
			return owners
		}
	}
	f.t.Fatal("etcd did not tell its history")
	return nil
}

// latestOf returns the revision of the newest of some records.
func latestOf(resp *clientv3.GetResponse) int64 {
	var latest int64
	for _, kv := range resp.Kvs {
		latest = max(latest, kv.ModRevision)
	}
	return latest
}

// A rolling restart of pods that keep their names moves nothing: each gets back what it had.
func TestARollingRestartOfAStatefulSet(t *testing.T) {
	manifest := manifestArgs(t)
	f := newFleet(t, 12)
	f.pause = slowly
	var pods []pod
	for i := range 3 {
		pods = append(pods, f.startPod(fmt.Sprintf("billing-%d", i), manifest))
	}
	f.settled(3)
	fences := f.awaitBeats(nil)
	before := f.ownersOverTime()
	for i := range slices.Backward(pods) { // as a StatefulSet does
		pods[i].term()
		pods[i] = f.startPod(pods[i].name, manifest)
	}
	f.awaitBeats(fences)
	require.Equal(t, before, f.ownersOverTime(), "every partition stayed with its owner")
	f.endAll(pods)
	f.requireOneAtATime()
	f.requireCountsOn()
}

// A rolling restart of pods whose names are new each time moves each partition at most once per pod.
func TestARollingRestartOfADeployment(t *testing.T) {
	manifest := slices.DeleteFunc(manifestArgs(t), func(arg string) bool { return strings.HasPrefix(arg, "--grace") })
	f := newFleet(t, 12)
	f.pause = slowly
	var pods []pod
	for i := range 3 {
		pods = append(pods, f.startPod(fmt.Sprintf("old-%d", i), manifest))
	}
	f.settled(3)
	f.awaitBeats(nil)
	before := f.ownersOverTime()
	for i := range pods {
		next := f.startPod(fmt.Sprintf("new-%d", i), manifest) // maxSurge: 1
		f.settled(4)                                           // minReadySeconds
		pods[i].term()
		pods[i] = next
		f.settled(3)
		after := f.ownersOverTime()
		for id, owners := range after {
			require.LessOrEqual(t, len(owners), len(before[id])+1, "partition %s moved %v", id, owners)
		}
		before = after
	}
	f.awaitBeats(nil)
	f.endAll(pods)
	f.requireOneAtATime()
	f.requireCountsOn()
}

// endAll ends pods together and checks that they leave their last checkpoints.
func (f *fleet) endAll(pods []pod) {
	f.t.Helper()
	for _, p := range pods {
		p.signal(syscall.SIGTERM)
	}
	for _, p := range pods {
		require.NoError(f.t, p.ended(), p.name)
	}
	for _, id := range f.ids {
		beats := f.read(id)
		shown := f.operate("checkpoint show orders/billing " + id + " -o json")
		require.Contains(f.t, shown.stdout, fmt.Sprintf(`"sequence_number": %d`, beats[len(beats)-1].n),
			filepath.Join(f.beats, id))
	}
}
