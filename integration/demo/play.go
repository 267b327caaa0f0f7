package main

import (
	"context"
	"fmt"
	"time"
)

const (
	appendInterval = 50 * time.Millisecond

	// catchUpLimit is how long the consumers may take for the last events.
	catchUpLimit = 30 * time.Second
)

// play appends events for a while, kills a consumer on the way, and then sees whether every event was printed.
func (s *stage) play(ctx context.Context, duration time.Duration) error {
	names := []string{"A", "B", "C"}
	if err := s.start(names); err != nil {
		return err
	}
	s.screen.header(names)
	began := time.Now()
	appending, showing := time.NewTicker(appendInterval), time.NewTicker(time.Second)
	defer appending.Stop()
	defer showing.Stop()
	appended, killed := 0, ""
	ends := time.After(duration)
	for ends != nil || s.tally.distinct() < appended {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ends:
			ends = nil
			appending.Stop()
			s.screen.notef("No more events are appended.")
			late := time.AfterFunc(catchUpLimit, s.tally.giveUp)
			defer late.Stop()
		case <-appending.C:
			due := int(time.Since(began).Seconds()*appendRate) - appended
			if err := s.hub.Append("", due); err != nil {
				return fmt.Errorf("the stand-in for Event Hubs: %w", err)
			}
			appended += due
		case <-showing.C:
			s.screen.row(time.Since(began), s.tally.second(), appended-s.tally.distinct())
			// The middle of the time, or later if the partitions have not all found a reader.
			if killed == "" && ends != nil && time.Since(began) > duration*2/5 && s.tally.allRead() {
				killed = names[1]
				if err := s.killOne(killed); err != nil {
					return err
				}
			}
		case m := <-s.tally.moves:
			s.screen.move(m)
		case trouble := <-s.tally.trouble:
			return trouble
		}
	}
	s.screen.notef("Asking the others to finish with SIGTERM.")
	s.stop()
	return s.judge(appended, killed)
}

func (s *stage) killOne(name string) error {
	s.screen.notef("SIGKILL to %s, which reads the partitions %s.", name, list(s.tally.readBy(name)))
	s.screen.notef("It could not say goodbye: its lease of %v has to run out.", ttl)
	s.tally.gone(name)
	return s.kill(name)
}

// judge says what came of it.
func (s *stage) judge(appended int, killed string) error {
	missed := appended - s.tally.distinct()
	s.screen.result(appended, s.tally.distinct(), missed, s.tally.repeated(), s.tally.moved(), killed)
	switch {
	case missed > 0:
		return fmt.Errorf("%d events were missed", missed)
	case killed == "":
		return fmt.Errorf("the consumers never read all %d partitions at a time, so none was killed", partitions)
	}
	return nil
}
