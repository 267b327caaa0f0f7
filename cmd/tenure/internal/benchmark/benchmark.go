// Package benchmark measures what an etcd can carry, by doing to it what a fleet does: claims, checkpoints, and a
// member that dies. It works under a prefix of its own and leaves nothing behind but history, which compaction frees.
package benchmark

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/lease"
)

// Config says what to measure.
type Config struct {
	Client     *clientv3.Client
	Prefix     string        // of its own
	TTL        time.Duration // of leases
	Partitions int           // that are claimed
	Callers    []int         // that checkpoint at a time, one step each; at most Partitions
	Duration   time.Duration // of each of these steps
	Log        *zap.Logger

	// Dial makes a client of its own for a member that is to die, which is when it is closed.
	Dial func(context.Context) (client *clientv3.Client, hangUp func() error, err error)

	// Progress is told what is measured next.
	Progress func(step string)
}

// Latency is how long requests took.
type Latency struct {
	Median time.Duration `json:"median_ns"`
	P99    time.Duration `json:"p99_ns"`
}

// Rate is what callers that each wait for their answer achieve together.
type Rate struct {
	Latency

	Callers   int     `json:"callers"`
	PerSecond float64 `json:"per_second"`
}

// Result is what was measured.
type Result struct {
	Read        Latency       `json:"read"`   // one key, of a quorum
	Commit      Latency       `json:"commit"` // one small put
	Partitions  int           `json:"partitions"`
	Claimed     time.Duration `json:"claimed_ns"`  // all partitions
	Listed      time.Duration `json:"listed_ns"`   // all ownerships
	Checkpoints []Rate        `json:"checkpoints"` // fenced and chained
	GrantedTTL  time.Duration `json:"granted_ttl_ns"`
	Freed       time.Duration `json:"freed_ns"` // after a member died
	Written     int64         `json:"written_bytes"`
}

// Best is the highest rate of checkpoints.
func (r *Result) Best() Rate {
	return slices.MaxFunc(r.Checkpoints, func(a, b Rate) int { return int(a.PerSecond - b.PerSecond) })
}

// cleanLimit bounds the removal of what is left.
const cleanLimit = 30 * time.Second

// group is the one that is worked in. No list of groups takes it for one of its own: it stands a level too deep.
func group() etcdstore.Group {
	return etcdstore.Group{FullyQualifiedNamespace: "bench", EventHubName: "bench", ConsumerGroup: "bench"}
}

// Run measures. Whatever becomes of it, it removes what it has written.
func Run(ctx context.Context, config Config) (_ *Result, err error) {
	b := &bench{Config: config}
	before, err := b.size(ctx)
	if err != nil {
		return nil, err
	}
	keeper, err := lease.NewKeeper(ctx, b.Client, &lease.Options{TTL: b.TTL, Logger: b.Log})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.clean(ctx, keeper)) }()
	if b.store, err = etcdstore.New(b.Client, keeper, &etcdstore.Options{Prefix: b.Prefix, Logger: b.Log}); err != nil {
		return nil, fmt.Errorf("make a store: %w", err)
	}
	term, err := keeper.Term(ctx)
	if err != nil {
		return nil, err
	}
	b.GrantedTTL = term.TTL()

	freed := make(chan error, 1)
	dying, stop := context.WithCancel(ctx)
	go func() { freed <- b.die(dying) }() // beside the others: it waits for most of its time
	err = b.measure(ctx)
	if err != nil {
		stop()
	} else {
		b.Progress("the partitions of a member that died")
	}
	err = errors.Join(err, <-freed)
	stop()
	if err != nil {
		return nil, err
	}
	after, err := b.size(ctx)
	b.Written = max(0, after-before)
	return &b.Result, err
}

type bench struct {
	Config
	Result

	store *etcdstore.Store
	won   []etcdstore.Ownership
}

// clean removes all keys and the lease, also where ctx has ended.
func (b *bench) clean(ctx context.Context, keeper *lease.Keeper) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
	defer cancel()
	err := keeper.Close(ctx) // and the store
	_, deleted := b.Client.Delete(ctx, b.Prefix+"/", clientv3.WithPrefix())
	if err = errors.Join(err, deleted); err != nil {
		return fmt.Errorf("what is under %s could not be removed: %w", b.Prefix, err)
	}
	return nil
}

// size returns how large etcd's database is.
func (b *bench) size(ctx context.Context) (int64, error) {
	status, err := b.Client.Status(ctx, b.Client.Endpoints()[0])
	if err != nil {
		return 0, fmt.Errorf("ask for the size of the database: %w", err)
	}
	return status.DbSize, nil
}

func (b *bench) measure(ctx context.Context) (err error) {
	const requests = 100
	b.Progress("reads")
	if b.Read, err = latencyOf(requests, func() error {
		_, err := b.Client.Get(ctx, b.Prefix+"/read")
		return err //nolint:wrapcheck // It is wrapped below.
	}); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	b.Progress("commits")
	if b.Commit, err = latencyOf(requests, func() error {
		_, err := b.Client.Put(ctx, b.Prefix+"/commit", "")
		return err //nolint:wrapcheck // It is wrapped below.
	}); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := b.claim(ctx); err != nil {
		return err
	}
	for _, callers := range b.Callers {
		if err := b.checkpoint(ctx, callers); err != nil {
			return fmt.Errorf("checkpoints of %d callers: %w", callers, err)
		}
	}
	return nil
}

// latencyOf makes requests one after the other.
func latencyOf(requests int, request func() error) (Latency, error) {
	took := make([]time.Duration, requests)
	for i := range took {
		began := time.Now()
		if err := request(); err != nil {
			return Latency{}, err
		}
		took[i] = time.Since(began)
	}
	return latency(took), nil
}

func latency(took []time.Duration) Latency {
	slices.Sort(took)
	const percent = 100
	return Latency{Median: took[len(took)/2], P99: took[len(took)*99/percent]}
}

func (b *bench) claim(ctx context.Context) (err error) {
	b.Progress(fmt.Sprintf("claims of %d partitions", b.Config.Partitions))
	claims := make([]etcdstore.Ownership, b.Config.Partitions)
	for i := range claims {
		claims[i] = etcdstore.Ownership{Group: group(), PartitionID: strconv.Itoa(i), OwnerID: "tenure-bench"}
	}
	began := time.Now()
	if b.won, err = b.store.ClaimOwnership(ctx, claims, nil); err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	b.Claimed, b.Result.Partitions = time.Since(began), len(b.won)
	if len(b.won) < len(claims) {
		return fmt.Errorf("only %d of %d claims were won: somebody else works under %s", len(b.won), len(claims), b.Prefix)
	}
	began = time.Now()
	if _, err := b.store.ListOwnership(ctx, group()); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	b.Listed = time.Since(began)
	return nil
}

// checkpoint has callers checkpoint for a while, each its own partition.
func (b *bench) checkpoint(ctx context.Context, callers int) error {
	b.Progress(fmt.Sprintf("checkpoints, %d at a time", callers))
	took, failures := make([][]time.Duration, callers), make([]error, callers)
	began := time.Now()
	var running sync.WaitGroup
	for i := range callers {
		o := b.won[i%len(b.won)]
		running.Go(func() {
			offset := "8589934592"
			for n := int64(0); time.Since(began) < b.Duration && failures[i] == nil; n++ {
				sent := time.Now()
				failures[i] = b.store.UpdateCheckpoint(ctx, etcdstore.Checkpoint{
					Group: o.Group, PartitionID: o.PartitionID, SequenceNumber: &n, Offset: &offset,
				}, &etcdstore.UpdateOptions{Fence: &o})
				took[i] = append(took[i], time.Since(sent))
			}
		})
	}
	running.Wait()
	elapsed := time.Since(began)
	if err := errors.Join(failures...); err != nil {
		return err
	}
	all := slices.Concat(took...)
	b.Checkpoints = append(b.Checkpoints, Rate{
		Callers: callers, PerSecond: float64(len(all)) / elapsed.Seconds(), Latency: latency(all),
	})
	return nil
}

// die has a member with a client of its own die, and waits until its partition is free.
func (b *bench) die(ctx context.Context) error {
	client, hangUp, err := b.Dial(ctx)
	if err != nil {
		return fmt.Errorf("connect once more: %w", err)
	}
	hangUp = sync.OnceValue(hangUp)
	defer hangUp() //nolint:errcheck // It was asked below, or there is another error.
	granted, err := client.Grant(ctx, int64(b.TTL/time.Second))
	if err != nil {
		return fmt.Errorf("grant a lease: %w", err)
	}
	key := b.Prefix + "/dying"
	put, err := client.Put(ctx, key, "", clientv3.WithLease(granted.ID))
	if err != nil {
		return fmt.Errorf("put a key: %w", err)
	}
	if _, err := client.KeepAliveOnce(ctx, granted.ID); err != nil {
		return fmt.Errorf("renew a lease: %w", err)
	}
	died := time.Now()
	if err := hangUp(); err != nil {
		return fmt.Errorf("close a client: %w", err)
	}
	for resp := range b.Client.Watch(clientv3.WithRequireLeader(ctx), key, clientv3.WithRev(put.Header.Revision+1)) {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("watch a key: %w", err)
		}
		for _, e := range resp.Events {
			if e.Type == clientv3.EventTypeDelete {
				b.Freed = time.Since(died)
				return nil
			}
		}
	}
	return context.Cause(ctx)
}
