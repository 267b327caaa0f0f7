package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// duplicate is how soon after the first signal another one is taken for the same: timeout(1), for one, signals its
// child and then the whole process group.
const duplicate = 300 * time.Millisecond

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. The second ends the process at once. stop
// gives the signals back.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// A write to a closed pipe then fails with EPIPE, which the command handles, instead of ending the process. Unlike
	// ignoring the signal, this is not inherited by processes that are started.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	done := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		var first time.Time
		for {
			select {
			case next := <-signals:
				if first.IsZero() {
					first = time.Now()
					cancel()
				} else if time.Since(first) > duplicate {
					os.Exit(exitBySignal + int(next.(syscall.Signal))) //nolint:forcetypeassert // All of os's are.
				}
			case <-done:
				return
			}
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		signal.Stop(pipes)
		close(done)
		waiting.Wait()
		cancel()
	}
}
