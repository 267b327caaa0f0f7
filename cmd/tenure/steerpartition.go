package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/etcdstore"
)

const pinHelp = `Have partitions go to a member, as planned moves, and wait until they have. They stay there while that
member is there, takes partitions and is not full; where it is not, the others share them. It holds
until "tenure partition unpin" or the time in --for.`

const pauseHelp = `Have partitions be owned by nobody, and wait until they are. Their handlers finish, as with any
planned move, and nothing of theirs is handled until "tenure partition resume" or the time in --for.`

const releaseHelp = `Take partitions away from whoever owns them. Another member gets each: the former owner is passed
over for a minute, if there is another.

The owner is asked to finish, so that no event is repeated, and the command waits until another has
it. With --now its ownership is deleted at once, whoever it is: also a consumer that is no member, or
one whose handler is stuck. It can write no checkpoint from then on, and what it has handled since its
last one is repeated by the next owner.`

// passedOver is for how long the former owner of a partition that was released is passed over.
const passedOver = time.Minute

func (a *app) partitionSteering() []*cobra.Command {
	var pinned, unpinned, paused, resumed, released steerFlags
	const many = "PARTITION..."
	pin := a.steerCommand(&pinned, &cobra.Command{
		Use: "pin GROUP PARTITION... --to MEMBER", Short: "Have partitions go to a member and stay there", Long: pinHelp,
		Example: "  tenure partition pin orders/billing 7 12 --to pod-3 --for 1h",
	}, (*steering).pin, "GROUP", many)
	pinned.define(pin.Flags())
	pin.Flags().StringVar(&pinned.to, "to", "", "owner id of the `member`")
	pinned.defineTimeout(pin.Flags(), "it owns them")
	unpin := a.steerCommand(&unpinned, &cobra.Command{
		Use: "unpin GROUP PARTITION...", Short: "Take back a pin", Example: "  tenure partition unpin orders/billing 7 12",
	}, (*steering).unpin, "GROUP", many)
	pause := a.steerCommand(&paused, &cobra.Command{
		Use: "pause GROUP PARTITION...", Short: "Have partitions be owned by nobody", Long: pauseHelp,
		Example: `  tenure partition pause orders/billing 7 --reason "poisoned event at 812"`,
	}, (*steering).pause, "GROUP", many)
	paused.define(pause.Flags())
	paused.defineTimeout(pause.Flags(), "nobody owns them")
	resume := a.steerCommand(&resumed, &cobra.Command{
		Use: "resume GROUP PARTITION...", Short: "Take back a pause", Example: "  tenure partition resume orders/billing 7",
	}, (*steering).resume, "GROUP", many)
	release := a.steerCommand(&released, &cobra.Command{
		Use: "release GROUP PARTITION...", Short: "Take partitions away from their owners", Long: releaseHelp,
		Example: "  tenure partition release orders/billing 7\n  tenure partition release orders/billing 7 --now",
	}, (*steering).release, "GROUP", many)
	release.Flags().StringVar(&released.reason, "reason", "released by an operator", "why, for whoever looks at it")
	release.Flags().BoolVar(&released.now, "now", false, "do not wait for the owner to finish: delete its ownership")
	released.defineTimeout(release.Flags(), "another owns them")
	return []*cobra.Command{pin, unpin, pause, resume, release}
}

// partitionsOf returns what is owned by those that are meant.
func partitionsOf(s *etcdstore.Snapshot, meant func(owner string) bool) (ids []string) {
	for id, o := range s.Ownerships {
		if o.OwnerID != "" && meant(o.OwnerID) {
			ids = append(ids, id)
		}
	}
	return inspect.InOrder(ids)
}

// those returns which of some partitions have owners that are meant. "" is nobody.
func those(s *etcdstore.Snapshot, ids []string, meant func(id, owner string) bool) (found []string) {
	for _, id := range ids {
		if meant(id, s.Ownerships[id].OwnerID) {
			found = append(found, id)
		}
	}
	return found
}

func (s *steering) pin(partitions []string) error {
	if s.flags.to == "" {
		return &problem.Error{Kind: problem.Usage, What: "--to is needed: the member that they are to go to",
			Do: "See: tenure member list " + s.group.String()}
	}
	if err := errors.Join(s.checkPartitions(partitions), s.checkMembers([]string{s.flags.to})); err != nil {
		return err
	}
	control := s.flags.control()
	control.OwnerID = s.flags.to
	if err := s.set(etcdstore.Pin, control, partitions...); err != nil {
		return err
	}
	left, err := s.await("pinning", func(snapshot *etcdstore.Snapshot) []string {
		return those(snapshot, partitions, func(_, owner string) bool { return owner != s.flags.to })
	})
	switch {
	case errors.Is(err, errTimedOut):
		return s.late("these are not "+s.flags.to+"'s", left, "They stay pinned. See whether it is full, cordoned or "+
			"draining: tenure member show "+s.group.String()+" "+s.flags.to)
	case err != nil:
		return err
	}
	return s.sayEach(partitions, "is pinned to "+s.flags.to)
}

func (s *steering) unpin(partitions []string) error {
	return s.lift(etcdstore.Pin, s.mirror.Snapshot().Controls.Pinned, partitions, "is pinned no longer")
}

func (s *steering) resume(partitions []string) error {
	return s.lift(etcdstore.Pause, s.mirror.Snapshot().Controls.Paused, partitions, "is paused no longer")
}

// lift takes back a control. It can be one of a partition that is not known.
func (s *steering) lift(
	kind etcdstore.ControlKind, controlled map[string]etcdstore.Control, partitions []string, now string,
) error {
	for _, id := range partitions {
		if _, ok := controlled[id]; !ok {
			if err := s.checkPartitions([]string{id}); err != nil {
				return err
			}
		}
	}
	if err := s.remove(kind, partitions...); err != nil {
		return err
	}
	return s.sayEach(partitions, now)
}

func (s *steering) pause(partitions []string) error {
	if err := s.checkPartitions(partitions); err != nil {
		return err
	}
	if err := s.set(etcdstore.Pause, s.flags.control(), partitions...); err != nil {
		return err
	}
	left, err := s.await("pausing", func(snapshot *etcdstore.Snapshot) []string {
		return those(snapshot, partitions, func(_, owner string) bool { return owner != "" })
	})
	switch {
	case errors.Is(err, errTimedOut):
		do := "They stay paused, and their owners go on giving them up."
		if len(foreign(s.mirror.Snapshot(), left)) > 0 {
			do = "They are owned by a consumer that is no member and obeys no pause. Stop it."
		}
		return s.late("these are still owned", left, do)
	case err != nil:
		return err
	}
	return s.sayEach(partitions, "is paused")
}

func (s *steering) release(partitions []string) error {
	if err := s.checkPartitions(partitions); err != nil {
		return err
	}
	snapshot := s.mirror.Snapshot()
	owned := those(snapshot, partitions, func(_, owner string) bool { return owner != "" })
	if alien := foreign(snapshot, owned); len(alien) > 0 && !s.flags.now {
		return &problem.Error{Kind: problem.Usage,
			What: "these are owned by a consumer that is no member, and cannot be asked to finish: " + inspect.Some(alien, 8),
			Do:   "Take them with --now, or stop it."}
	}
	if len(snapshot.Members) < 2 && !s.flags.now && len(owned) > 0 {
		return &problem.Error{What: "there is no other member that could take them",
			Do: "Start one. To have the only one start over with them, use --now. To have nobody handle them: " +
				"tenure partition pause"}
	}
	from := make(map[string][]string)
	for _, id := range owned {
		from[snapshot.Ownerships[id].OwnerID] = append(from[snapshot.Ownerships[id].OwnerID], id)
	}
	for owner, ids := range from {
		control := s.flags.control()
		control.OwnerID, control.ExpiresAt = owner, time.Now().Add(passedOver)
		if err := s.set(etcdstore.Avoid, control, ids...); err != nil {
			return err
		}
	}
	if s.flags.now {
		if err := s.deleteOwnerships(snapshot, owned); err != nil {
			return err
		}
	}
	left, err := s.await("releasing", func(now *etcdstore.Snapshot) []string {
		return those(now, owned, func(id, owner string) bool {
			return owner == "" || now.Ownerships[id].ETag == snapshot.Ownerships[id].ETag ||
				!s.flags.now && owner == snapshot.Ownerships[id].OwnerID
		})
	})
	switch {
	case errors.Is(err, errTimedOut):
		return s.late("nobody else owns these", left,
			"Why, the log of their owners says. To take them away all the same: --now")
	case err != nil:
		return err
	}
	after := s.mirror.Snapshot()
	for _, id := range partitions {
		from, to := orNobody(snapshot.Ownerships[id].OwnerID), orNobody(after.Ownerships[id].OwnerID)
		text := from + " -> " + to
		switch {
		case !slices.Contains(owned, id):
			text = "nobody has had it"
		case from == to: // there is no other, or each other one is passed over as well
			text = to + " has it again, anew"
		}
		if err := s.sayf("partition %s: %s", id, text); err != nil {
			return err
		}
	}
	return nil
}

func (s *steering) deleteOwnerships(snapshot *etcdstore.Snapshot, ids []string) error {
	ownerships := make([]etcdstore.Ownership, len(ids))
	for i, id := range ids {
		ownerships[i] = snapshot.Ownerships[id]
	}
	bounded, cancel := context.WithTimeout(s.ctx, readLimit)
	defer cancel()
	if err := s.store.Release(bounded, ownerships...); err != nil {
		return fmt.Errorf("delete ownerships: %w", err)
	}
	return nil
}

func orNobody(owner string) string {
	if owner == "" {
		return "nobody"
	}
	return owner
}

func (s *steering) sayEach(partitions []string, what string) error {
	for _, id := range partitions {
		if err := s.sayf("partition %s %s", id, what); err != nil {
			return err
		}
	}
	return nil
}
