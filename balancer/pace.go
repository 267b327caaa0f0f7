package balancer

import "time"

// pace is how long a member waits for what it cannot know the end of.
type pace struct {
	// patience is how long a free partition is left to the member that it is planned for. Then the others take that one to
	// be stuck, and the partition is for whom the plan names without it.
	patience time.Duration

	// lag is how often a stream is asked how far behind its partitions are.
	lag time.Duration

	// excluded is how long a member is passed over for a partition.
	excluded time.Duration

	// restartFirst is the wait before a handler that has failed is started again, restartLast the longest there is.
	restartFirst, restartLast time.Duration
}

// usualPace is every member's outside tests.
func usualPace() pace {
	return pace{
		patience:     2 * time.Second,
		lag:          30 * time.Second,
		excluded:     time.Minute,
		restartFirst: time.Second,
		restartLast:  time.Minute,
	}
}
