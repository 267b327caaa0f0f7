package consume

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/cmd/tenure/internal/filestream"
	"github.com/tenure-go/tenure/etcdstore"
)

// FilesConfig says which folder's files to consume and how.
type FilesConfig struct {
	MemberConfig

	Folder *filestream.Folder

	// From is where a file without a checkpoint begins, as [filestream.ParseStart] reads it.
	From string
}

// sourceInterval is how often the folder is looked at for new files.
const sourceInterval = time.Second

// RunFiles consumes a folder's files as a member of their group until ctx ends and returns nil then, when everything
// printed has been checkpointed and the partitions have been given up. It ends by itself with the error of the output,
// or with that of [balancer.Member.Run].
func RunFiles(ctx context.Context, config FilesConfig) error {
	from, err := filestream.ParseStart(config.From)
	if err != nil {
		return err
	}
	mirror, err := config.Store.Watch(ctx, config.Group, nil)
	switch {
	case ctx.Err() != nil:
		return nil // It was told to stop before it began.
	case err != nil:
		return fmt.Errorf("read the group: %w", err)
	}
	defer mirror.Close()
	c := &filesConsumer{memberConsumer: memberConsumer{MemberConfig: config.MemberConfig}, config: config, from: from}
	c.Balancer.SourceInterval = sourceInterval
	c.Balancer.Lag = func(ctx context.Context, partition string, after *etcdstore.Checkpoint) (int64, error) {
		return FileBehind(ctx, config.Folder, partition, after)
	}
	source := func(ctx context.Context) ([]string, error) {
		names, err := config.Folder.Partitions(ctx)
		// A file that was removed stays a partition, which every member knows: it waits for the file.
		return append(names, mirror.Snapshot().Controls.Partitions...), err
	}
	member, err := balancer.New(config.Store, config.Group, source, c.handle, &c.Balancer)
	if err != nil {
		return fmt.Errorf("make the member: %w", err)
	}
	config.Made(member)
	return c.run(ctx, member.Run)
}

// filesConsumer is one RunFiles.
type filesConsumer struct {
	memberConsumer

	config FilesConfig
	from   filestream.Start
}

// handle prints a file's lines until its partition is to be given up.
func (c *filesConsumer) handle(ctx context.Context, owned *balancer.Partition) error {
	receiving, stop := untilDraining(ctx, owned)
	defer stop()
	checkpoint, found := owned.Start()
	start := c.from
	var err error
	if found {
		start, err = behind(checkpoint)
	}
	if err != nil {
		return c.nameCheckpoint(owned, err)
	}
	follower := c.config.Folder.Follow(owned.ID(), start)
	defer follower.Close() //nolint:errcheck // It was only read.
	file := &filePartition{owned: owned, follower: follower}
	switch err := file.begin(ctx, receiving, !found && start == filestream.Latest()); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case receiving.Err() != nil:
		return nil // It is given up before there was anything to read.
	case err != nil:
		return c.nameCheckpoint(owned, err)
	}
	r := &reader{
		partition: file,
		printer:   &c.printer,
		progress:  progress{count: c.CheckpointCount, interval: c.CheckpointInterval},
		log:       c.Log.With(zap.String("partition", owned.ID())),
	}
	err = r.run(receiving, ctx)
	r.log.Debug("partition stopped", zap.String("reason", reason(err)), zap.Int64("events", r.events),
		zap.Int("unsaved", r.progress.unsaved))
	if errors.Is(err, errOutput) {
		return nil // The whole command ends, and says why. What is not finished is not checkpointed.
	}
	return c.nameCheckpoint(owned, err)
}

// FileBehind returns how many lines of a file come after a checkpoint, or how many it has if there is none. A
// checkpoint whose offset is none of the file's counts by its sequence number alone, and without one as none.
func FileBehind(
	ctx context.Context, folder *filestream.Folder, partition string, after *etcdstore.Checkpoint,
) (int64, error) {
	if after != nil {
		if start, err := behind(*after); err == nil {
			if lines, err := folder.Behind(ctx, partition, start); err == nil || ctx.Err() != nil {
				return lines, err
			}
		}
	}
	last, _, err := folder.End(ctx, partition)
	if after == nil || after.SequenceNumber == nil {
		return last + 1, err
	}
	return max(0, last-*after.SequenceNumber), err
}

// behind returns the place behind a checkpoint.
func behind(checkpoint etcdstore.Checkpoint) (filestream.Start, error) {
	number := checkpoint.SequenceNumber
	if checkpoint.Offset == nil {
		return filestream.AtLine(*number + 1), nil
	}
	offset, err := strconv.ParseInt(*checkpoint.Offset, 10, 64)
	switch {
	case err != nil, offset < 0, number != nil && *number < 0:
		return filestream.Start{}, fmt.Errorf("the checkpoint is none of a file: its offset is %q", *checkpoint.Offset)
	case number == nil:
		return filestream.AtOffset(offset), nil
	}
	return filestream.After(*number, offset), nil
}

// nameCheckpoint adds to an error that a checkpoint may be the reason of where that is in etcd.
func (c *filesConsumer) nameCheckpoint(owned *balancer.Partition, err error) error {
	if _, changed := errors.AsType[*filestream.ChangedError](err); !changed {
		return err
	}
	return fmt.Errorf("%w: %s", err, deleteCheckpoint(c.Group, owned.ID()))
}

// filePartition is a file whose partition a member owns.
type filePartition struct {
	owned    *balancer.Partition
	follower *filestream.Follower
}

// begin finds where to begin. A place that depends on when it is looked for is checkpointed, so that whoever owns the
// partition next does not look for it again, and leave out what has come since.
func (p *filePartition) begin(ctx, receiving context.Context, pin bool) error {
	number, offset, err := p.follower.Begin(receiving)
	if err != nil || !pin {
		return err
	}
	at := strconv.FormatInt(offset, 10)
	if number < 0 {
		return p.owned.Checkpoint(ctx, nil, &at)
	}
	return p.owned.Checkpoint(ctx, &number, &at)
}

func (p *filePartition) receive(ctx context.Context) ([]event, error) {
	lines, err := p.follower.Next(ctx, batchSize)
	events := make([]event, len(lines))
	for i, line := range lines {
		events[i] = fromLine(p.owned.ID(), line)
	}
	return events, err
}

func (p *filePartition) checkpoint(ctx context.Context, at position) error {
	return p.owned.Checkpoint(ctx, &at.sequenceNumber, &at.offset)
}

// finish leaves the position to the balancer, which writes it and gives the partition up in one transaction.
func (p *filePartition) finish(_ context.Context, at position) (written bool, err error) {
	p.owned.Finish(&at.sequenceNumber, &at.offset)
	return false, nil
}

// untilDraining returns a context that ends with ctx or when the partition is to be given up. stop waits for what it
// takes.
func untilDraining(ctx context.Context, owned *balancer.Partition) (receiving context.Context, stop func()) {
	receiving, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-owned.Draining():
			cancel()
		case <-receiving.Done():
		}
	})
	return receiving, func() {
		cancel()
		waiting.Wait()
	}
}
