package integration_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tenure-go/tenure/integration/internal/standin"
)

// stream is what the consumers of a test share.
type stream interface {
	// flags are what tenure consume reads it with.
	flags() []string

	// connectionString is empty where it is no event hub.
	connectionString() string

	// last returns the last sequence number of each partition, -1 where there is none.
	last() map[string]int64

	// body returns what stands in an event.
	body(partition string, sequenceNumber int64) string
}

// hub is an event hub.
type hub struct {
	*standin.Server

	arguments []string
}

// onSDK is a hub whose consumers leave the sharing to the SDK's Processor.
func onSDK(server *standin.Server) hub {
	return hub{server, []string{"--balancer", "sdk", "--update-interval", updateInterval.String()}}
}

// onNative is a hub whose consumers are members of our own balancer.
func onNative(server *standin.Server) hub { return hub{server, nil} }

func (h hub) flags() []string          { return h.arguments }
func (h hub) connectionString() string { return h.HubConnectionString() }

func (h hub) last() map[string]int64 {
	last := make(map[string]int64)
	for _, partition := range h.Stats() {
		last[partition.ID] = partition.LastSequenceNumber
	}
	return last
}

func (h hub) body(partition string, sequenceNumber int64) string {
	return fmt.Sprintf(`{"partition":%q,"n":%d}`, partition, sequenceNumber)
}

// files is a folder, to whose files a writer appends lines until it is stopped or the test ends.
type files struct {
	t    *testing.T
	dir  string
	stop func() // the writer

	mu    sync.Mutex
	lines map[string]int64
}

// writeInterval is between two rounds of the writer, which appends some lines to some files in each.
const writeInterval = 10 * time.Millisecond

// newFiles starts a writer on files with those names, which are empty at first.
func newFiles(t *testing.T, names ...string) *files {
	t.Helper()
	f := &files{t: t, dir: t.TempDir(), lines: make(map[string]int64)}
	for _, name := range names {
		f.add(name, 0)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("the writer's seed: %d", seed)
	stop, stopped := make(chan struct{}), make(chan struct{})
	f.stop = sync.OnceFunc(func() {
		close(stop)
		<-stopped
	})
	t.Cleanup(f.stop)
	go func() {
		defer close(stopped)
		f.write(rand.New(rand.NewPCG(seed, 0)), stop)
	}()
	return f
}

func (f *files) write(random *rand.Rand, stop <-chan struct{}) {
	tick := time.NewTicker(writeInterval)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		for _, name := range f.names() {
			if random.IntN(3) == 0 {
				f.add(name, 1+random.Int64N(5))
			}
		}
	}
}

func (f *files) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.lines))
}

// add appends lines to a file, which is made if need be.
func (f *files) add(name string, lines int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var text []byte
	for i := range lines {
		text = append(text, f.body(name, f.lines[name]+i)+"\n"...)
	}
	file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = file.Write(text)
		_ = file.Close() // Nothing is buffered.
	}
	if err != nil {
		f.t.Errorf("append to %s: %v", name, err)
		return
	}
	f.lines[name] += lines
}

func (f *files) flags() []string {
	return []string{"--source", "files:" + f.dir, "--group", "orders/billing"}
}

func (f *files) connectionString() string { return "" }

func (f *files) last() map[string]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := make(map[string]int64)
	for name, lines := range f.lines {
		last[name] = lines - 1
	}
	return last
}

func (f *files) body(partition string, sequenceNumber int64) string {
	return fmt.Sprintf("%s-%d", partition, sequenceNumber)
}
