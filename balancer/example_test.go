package balancer_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

// A process handles its share of the partitions until it is told to stop. Start it as often as you like: what one gives
// up another goes on with, right after the last event that was handled.
func Example() {
	endpoint, stopEtcd := etcdtest.StartForExample()
	defer stopEtcd()
	ctx, stop := context.WithCancel(context.Background()) // in a program: signal.NotifyContext
	defer stop()

	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		log.Panic(err)
	}
	defer func() { _ = client.Close() }()
	keeper, err := lease.NewKeeper(ctx, client, nil)
	if err != nil {
		log.Panic(err)
	}
	store, err := etcdstore.New(client, keeper, nil)
	if err != nil {
		log.Panic(err)
	}

	group := etcdstore.Group{FullyQualifiedNamespace: "local", EventHubName: "orders", ConsumerGroup: "billing"}
	partitions := func(context.Context) ([]string, error) { return []string{"0"}, nil } // asked again: there may be more
	handle := func(ctx context.Context, p *balancer.Partition) error {
		next := int64(0)
		if checkpoint, found := p.Start(); found {
			next = *checkpoint.SequenceNumber + 1
		}
		for {
			select {
			case <-p.Draining(): // the partition is to move, or the program to stop
				if next > 0 {
					last := next - 1
					p.Finish(&last, nil) // written together with the release
				}
				return nil
			default:
			}
			if ctx.Err() != nil { // the partition may be another's soon
				return context.Cause(ctx)
			}
			fmt.Printf("partition %s: event %d\n", p.ID(), next)
			if next++; next == 3 {
				stop() // the program is told to stop
				<-p.Draining()
			}
		}
	}
	member, err := balancer.New(store, group, partitions, handle, nil)
	if err != nil {
		log.Panic(err)
	}
	fmt.Println("stopped:", member.Run(ctx)) // drains, leaves and closes the keeper when ctx ends

	// Whoever has the partition next goes on from here.
	reader, err := etcdstore.New(client, nil, nil)
	if err != nil {
		log.Panic(err)
	}
	checkpoints, err := reader.ListCheckpoints(context.Background(), group)
	if err != nil {
		log.Panic(err)
	}
	for _, c := range checkpoints {
		fmt.Println("partition", c.PartitionID, "is handled up to event", *c.SequenceNumber)
	}
	// Output:
	// partition 0: event 0
	// partition 0: event 1
	// partition 0: event 2
	// stopped: <nil>
	// partition 0 is handled up to event 2
}
