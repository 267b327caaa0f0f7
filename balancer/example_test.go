package balancer_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/lease"
)

// A process handles its share of sixteen partitions until it is told to stop. Start it as often as you like: what one
// gives up another goes on with, right after the last event that was handled.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Print(err)
	}
}

func run(ctx context.Context) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"localhost:2379"}})
	if err != nil {
		return fmt.Errorf("make the etcd client: %w", err)
	}
	defer client.Close()
	keeper, err := lease.NewKeeper(ctx, client, &lease.Options{TTL: 10 * time.Second})
	if err != nil {
		return err
	}
	store, err := etcdstore.New(client, keeper, nil)
	if err != nil {
		return err
	}
	group := etcdstore.Group{FullyQualifiedNamespace: "local", EventHubName: "orders", ConsumerGroup: "billing"}
	member, err := balancer.New(store, group, sixteen, handle, nil)
	if err != nil {
		return err
	}
	return member.Run(ctx) // leaves cleanly when ctx ends, and closes the keeper
}

// sixteen names the partitions. A source that names more later makes the group grow.
func sixteen(context.Context) ([]string, error) {
	ids := make([]string, 16)
	for i := range ids {
		ids[i] = fmt.Sprintf("%02d", i)
	}
	return ids, nil
}

// handle handles the events of one partition, one a second.
func handle(ctx context.Context, p *balancer.Partition) error {
	next := int64(0)
	if checkpoint, found := p.Start(); found {
		next = *checkpoint.SequenceNumber + 1
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done(): // the partition may be another's soon
			return context.Cause(ctx)
		case <-p.Draining(): // nothing is begun, and everything is checkpointed
			return nil
		case <-tick.C:
		}
		if ctx.Err() != nil { // it looks at the clock: this process may have been asleep
			return context.Cause(ctx)
		}
		fmt.Printf("partition %s: event %d\n", p.ID(), next)
		if err := p.Checkpoint(ctx, &next, nil); err != nil {
			return err
		}
		next++
	}
}
