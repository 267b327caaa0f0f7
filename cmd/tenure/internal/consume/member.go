package consume

import (
	"context"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
)

// MemberConfig says as what member of which group to consume.
type MemberConfig struct {
	Settings

	Store    *etcdstore.Store
	Group    etcdstore.Group
	Balancer balancer.Options

	// Made is called with the member before it runs.
	Made func(*balancer.Member)
}

// memberConsumer is one member's consuming, wherever its events come from.
type memberConsumer struct {
	MemberConfig

	printer printer
}

// run runs the member until ctx ends and it has left its group, or until the output fails, and returns why it failed.
func (c *memberConsumer) run(ctx context.Context, member func(context.Context) error) error {
	defer tellOfStop(ctx, c.Log)()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c.printer.out = &output{w: c.Output, onFailed: stop}
	ended := make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		err = member(ctx)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		if !await(ended, stallNotice) {
			c.printer.tellOfStall(c.Log)
		}
		<-ended
	}
	c.printer.tell(c.Log)
	if failure := c.printer.out.failure(); failure != nil {
		return failure
	}
	if c.printer.out.waiting.Load() > 0 {
		return errStuck // whatever has come of it
	}
	return err
}
