package balancer

import "go.uber.org/zap"

// Event is something that happened to a member or to one of its partitions.
type Event struct {
	// Partition is empty where the event is about the member as a whole.
	Partition string

	// OwnerID is the member's own, except in Excluded: there it is the member that is passed over.
	OwnerID string

	// Revision is etcd's at the event: that of the claim for events of a partition (its etag and fence), that of the
	// records that were read for Planned.
	Revision int64

	// Reason says why, for people.
	Reason string

	// Err is the error behind it, if there is one.
	Err error
}

// Events are functions that a member calls when something happens. Each may be nil. They are called one after the
// other, in order, and must return soon: the member waits for them.
type Events struct {
	// Joined: the member has put its presence record and is planned for.
	Joined func(Event)

	// Planned: there is a new plan, which gives this member something to claim or to give up.
	Planned func(Event)

	// Claimed: a partition was won, and its handler starts.
	Claimed func(Event)

	// Draining: a handler was asked to finish what it has begun.
	Draining func(Event)

	// Released: a partition was given up, with its last checkpoint.
	Released func(Event)

	// Lost: a partition is no longer the member's, or no longer known to be.
	Lost func(Event)

	// CheckpointRejected: etcd has refused a checkpoint because of its fence or its chain.
	CheckpointRejected func(Event)

	// Excluded: a record was written that has the plan pass over a member for a partition.
	Excluded func(Event)

	// Failed: a handler has failed and is started again after a while.
	Failed func(Event)
}

// emit tells of an event, if somebody wants to hear.
func (w *worker) emit(to func(Event), e Event) {
	if to == nil {
		return
	}
	if e.OwnerID == "" {
		e.OwnerID = w.options.OwnerID
	}
	to(e)
}

// about is an event of a partition.
func (w *worker) about(s *slot, reason string, err error) Event {
	return Event{Partition: s.id, Revision: revisionOf(s.ownership), Reason: reason, Err: err}
}

// fields are an event of a partition for the log.
func (w *worker) fields(s *slot, reason string) []zap.Field {
	return []zap.Field{
		zap.String("partition", s.id), zap.Int64("revision", revisionOf(s.ownership)), zap.String("reason", reason),
	}
}
