package integration_test

import (
	"testing"
	"time"

	"github.com/tenure-go/tenure/integration/internal/standin"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

// Four consumers share 16 partitions and print every one of 200,000 events, a fifth of which is appended meanwhile, in
// order within each tenure.
func TestFourConsumersPrintEveryEvent(t *testing.T) {
	const goal = 200_000
	hub := standin.Start(t, standin.Options{Partitions: 16, Events: 160_000, AppendRate: 4_000})
	f := newFleet(t, onSDK(hub), etcdtest.Start(t).Endpoints())
	began := time.Now()
	f.start("a", "b", "c", "d")
	f.awaitShared("a", "b", "c", "d")
	f.await("200,000 events are printed", func() bool {
		total := int64(0)
		for _, covered := range f.covered {
			total += covered
		}
		return total >= goal
	})
	events := f.awaitCaughtUp()
	took := time.Since(began)
	f.leave("a", "b", "c", "d")
	checkpoints := f.requireSound()
	t.Logf("%d events printed in %v, %.0f a second; %d printed again when partitions moved; %d checkpoints",
		events, took.Round(time.Millisecond), float64(events)/took.Seconds(), f.repeated, checkpoints)
}
