package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// ttl is the shortest lease that etcd grants with its own defaults, so that there is something to see within seconds.
const ttl = 2 * time.Second

// stage is what runs during the demo.
type stage struct {
	program string // of the members
	scene   *scene

	folder  string
	etcd    *embed.Etcd
	wire    wire
	client  *clientv3.Client
	stream  *stream
	members []*member

	endAppending func()
	appending    sync.WaitGroup
	endFollowing func()
	following    sync.WaitGroup
}

// set starts everything but the members.
func (s *stage) set(ctx context.Context) (err error) {
	if s.folder, err = os.MkdirTemp("", "tenure-demo-"); err != nil {
		return fmt.Errorf("make a folder for what this leaves behind: %w", err)
	}
	if s.stream, err = newStream(s.streamFolder()); err != nil {
		return err
	}
	s.wire.judged = s.scene.judged
	s.etcd, err = startEtcd(ctx, filepath.Join(s.folder, "etcd"), filepath.Join(s.folder, "etcd.log"), &s.wire)
	if err != nil {
		return err
	}
	s.client, err = clientv3.New(clientv3.Config{Endpoints: []string{s.endpoint()}, Logger: zap.NewNop()})
	if err != nil {
		return fmt.Errorf("connect to the embedded etcd: %w", err)
	}
	following, end := context.WithCancel(context.Background())
	s.endFollowing = end
	s.following.Go(func() { s.unlessNil(follow(following, s.client, s.scene.recorded)) })
	appending, end := context.WithCancel(context.Background())
	s.endAppending = end
	s.appending.Go(func() { s.unlessNil(s.stream.run(appending, s.scene.appendedNow)) })
	return nil
}

// unlessNil ends the demo with an error.
func (s *stage) unlessNil(err error) {
	if err != nil {
		s.scene.change(func() { s.scene.fail(err) })
	}
}

func (s *stage) streamFolder() string { return filepath.Join(s.folder, "orders") }
func (s *stage) endpoint() string     { return s.etcd.Clients[0].Addr().String() }

// command is what a member's process is started with, in words for people too.
func (s *stage) command(name string) []string {
	return []string{
		"consume", "--balancer", "native", "--source", "files:" + s.streamFolder(), "--group", group,
		"--owner-id", name, "--ttl", ttl.String(), "--checkpoint-interval", checkpointInterval.String(),
		"--endpoints", s.endpoint(), "--log-format", "json",
	}
}

// start starts members.
func (s *stage) start(names ...string) error {
	for _, name := range names {
		s.scene.enter(name, starting)
		m, err := startMember(name, s.program, s.command(name), filepath.Join(s.folder, name+".log"), s.scene)
		if err != nil {
			return err
		}
		s.members = append(s.members, m)
	}
	return nil
}

func (s *stage) member(name string) *member {
	return s.members[slices.IndexFunc(s.members, func(m *member) bool { return m.name == name })]
}

// signal does something to a member, which is in the state from then on.
func (s *stage) signal(name string, to state, signal syscall.Signal) error {
	s.scene.enter(name, to)
	return s.member(name).signal(signal)
}

// stopAppending ends the stream: nothing is appended after it.
func (s *stage) stopAppending() {
	if s.endAppending != nil {
		s.endAppending()
		s.appending.Wait()
	}
}

// clear ends all that runs, and removes the folder unless it is to be kept.
func (s *stage) clear(keep bool) error {
	var problems []error
	for _, m := range s.members {
		s.scene.change(func() {
			if !s.scene.states[m.name].mayExit() && s.scene.states[m.name] != finished {
				s.scene.states[m.name] = killed
			}
		})
		m.kill()
	}
	s.wire.release()
	s.stopAppending()
	if s.endFollowing != nil {
		s.endFollowing()
		s.following.Wait()
	}
	if s.stream != nil {
		problems = append(problems, s.stream.close())
	}
	if s.client != nil {
		if err := s.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
			problems = append(problems, fmt.Errorf("close the etcd client: %w", err))
		}
	}
	if s.etcd != nil {
		s.etcd.Close()
	}
	if s.folder != "" && !keep {
		problems = append(problems, os.RemoveAll(s.folder))
	}
	return errors.Join(problems...)
}

// lastWords is the end of each member's log, for when something is wrong.
func (s *stage) lastWords() string {
	const lines = 10
	var words strings.Builder
	for _, m := range s.members {
		fmt.Fprintf(&words, "The last of %s's log:\n%s\n\n", m.name, m.lastWords(lines))
	}
	return words.String()
}
