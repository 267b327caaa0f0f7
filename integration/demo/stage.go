package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tenure-go/tenure/integration/internal/fleet"
	"github.com/tenure-go/tenure/integration/internal/standin"
)

// leaveLimit is how long consumers and their etcd may take to end.
const leaveLimit = 20 * time.Second

// stage is what runs during the demo.
type stage struct {
	screen *screen
	tally  *tally

	folder    string
	binary    string
	hub       *standin.Process
	consumers []*fleet.Consumer
}

// prepare builds the command and starts the event hub.
func (s *stage) prepare(ctx context.Context) (err error) {
	if s.folder, err = os.MkdirTemp("", "tenure-demo-"); err != nil {
		return fmt.Errorf("make a folder for what this leaves behind: %w", err)
	}
	s.screen.stepf("Starting a stand-in for Event Hubs, with %d partitions and %d events a second", partitions, appendRate)
	if s.hub, err = standin.Launch(standin.Options{Hub: "orders", Partitions: partitions}); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.screen.stepf("Building tenure; the first time takes a minute or two")
	if s.binary, err = fleet.Build(s.folder); err != nil {
		return err
	}
	return ctx.Err()
}

func (s *stage) devFolder() string { return filepath.Join(s.folder, "etcd") }

// start starts the consumers.
func (s *stage) start(names []string) error {
	arguments := []string{
		"--dev", "--balancer", "sdk", "--consumer-group", "demo", "--ttl", ttl.String(),
		"--update-interval", updateInterval.String(),
	}
	s.screen.stepf("Starting consumers %s, each with:\n    tenure consume %s", list(names), strings.Join(arguments, " "))
	arguments = append(arguments, "--checkpoint-interval", "1s", "--dev-dir", s.devFolder(), "--dev-linger", "1s")
	for _, name := range names {
		c, err := fleet.Start(name, s.binary, s.hub.HubConnectionString(), arguments, s.tally)
		if err != nil {
			return err
		}
		s.consumers = append(s.consumers, c)
	}
	return nil
}

// kill ends a consumer without giving it the time to say a word.
func (s *stage) kill(name string) error {
	s.tally.mayExit(name)
	for _, c := range s.consumers {
		if c.Name() == name {
			return c.Signal(syscall.SIGKILL)
		}
	}
	return fmt.Errorf("there is no consumer %s", name)
}

// stop lets the consumers finish. Those that take too long are killed.
func (s *stage) stop() {
	for _, c := range s.consumers {
		s.tally.mayExit(c.Name())
		_ = c.Signal(syscall.SIGTERM) // it may have exited
	}
	late := time.AfterFunc(leaveLimit, func() {
		for _, c := range s.consumers {
			c.Kill()
		}
	})
	defer late.Stop()
	for _, c := range s.consumers {
		c.Wait()
	}
}

// clear ends all that runs and removes all that was written.
func (s *stage) clear() error {
	var problems []error
	s.stop()
	if len(s.consumers) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), leaveLimit)
		defer cancel()
		problems = append(problems, fleet.AwaitDevEtcd(ctx, s.devFolder()))
	}
	if s.hub != nil {
		problems = append(problems, s.hub.Stop())
	}
	if s.folder != "" {
		problems = append(problems, os.RemoveAll(s.folder))
	}
	return errors.Join(problems...)
}
