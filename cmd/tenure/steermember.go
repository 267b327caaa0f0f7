package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/tenure-go/tenure/etcdstore"
)

const cordonHelp = `Have members take nothing more. They keep what they own, but for what they have over their share. It
holds for the owner id, over restarts, until "tenure member uncordon" or the time in --for.`

const drainHelp = `Have members give up all that they own, and wait until they have. Each partition is handed over as
with any planned move: its handler finishes, and no event is repeated. It holds for the owner id, over
restarts, until "tenure member uncordon" or the time in --for.

Exit status 1 says that something was still owned after --timeout; the members go on giving it up.`

func (a *app) memberSteering() []*cobra.Command {
	var cordoned, drained, uncordoned steerFlags
	cordon := a.steerCommand(&cordoned, &cobra.Command{
		Use: "cordon GROUP MEMBER...", Short: "Have members take nothing more", Long: cordonHelp,
		Example: `  tenure member cordon orders/billing pod-1 --reason "node goes at noon" --for 2h`,
	}, (*steering).cordon, "GROUP", "MEMBER...")
	cordoned.define(cordon.Flags())
	uncordon := a.steerCommand(&uncordoned, &cobra.Command{
		Use: "uncordon GROUP MEMBER...", Short: "Take back a cordon or a drain",
		Example: "  tenure member uncordon orders/billing pod-1",
	}, (*steering).uncordon, "GROUP", "MEMBER...")
	drain := a.steerCommand(&drained, &cobra.Command{
		Use: "drain GROUP MEMBER...", Short: "Have members give up all that they own, and wait for it", Long: drainHelp,
		Example: `  tenure member drain orders/billing pod-1 --reason "bad disk"`,
	}, (*steering).drain, "GROUP", "MEMBER...")
	drained.define(drain.Flags())
	drained.defineTimeout(drain.Flags(), "nothing is owned any more")
	return []*cobra.Command{cordon, uncordon, drain}
}

func (s *steering) cordon(members []string) error {
	if err := s.checkMembers(members); err != nil {
		return err
	}
	if err := s.set(etcdstore.Cordon, s.flags.control(), members...); err != nil {
		return err
	}
	for _, id := range members {
		if err := s.sayf("member %s is cordoned: it takes nothing more", id); err != nil {
			return err
		}
	}
	return nil
}

func (s *steering) uncordon(members []string) error {
	controls := s.mirror.Snapshot().Controls
	for _, id := range members {
		_, cordoned := controls.Cordoned[id]
		_, drained := controls.Drained[id]
		if !cordoned && !drained {
			if err := s.checkMembers([]string{id}); err != nil {
				return err
			}
		}
	}
	if err := s.remove(etcdstore.Cordon, members...); err != nil {
		return err
	}
	if err := s.remove(etcdstore.Drain, members...); err != nil {
		return err
	}
	for _, id := range members {
		if err := s.sayf("member %s takes partitions again", id); err != nil {
			return err
		}
	}
	return nil
}

func (s *steering) drain(members []string) error {
	if err := s.checkMembers(members); err != nil {
		return err
	}
	if err := s.set(etcdstore.Drain, s.flags.control(), members...); err != nil {
		return err
	}
	drained := make(map[string]bool)
	for _, id := range members {
		drained[id] = true
	}
	left, err := s.await("draining", func(snapshot *etcdstore.Snapshot) []string {
		return partitionsOf(snapshot, func(owner string) bool { return drained[owner] })
	})
	switch {
	case errors.Is(err, errTimedOut):
		do := "They go on. What is wrong with it, the member's log says. To take it back: tenure member uncordon"
		if len(foreign(s.mirror.Snapshot(), left)) > 0 {
			do = "They are owned by a consumer that is no member and obeys no drain: stop it, or take them with " +
				"tenure partition release --now"
		}
		return s.late("these are still owned", left, do)
	case err != nil:
		return err
	}
	for _, id := range members {
		if err := s.sayf("member %s owns nothing, and takes nothing", id); err != nil {
			return err
		}
	}
	return nil
}
