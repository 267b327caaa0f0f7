package main

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/cmd/tenure/internal/blobs"
	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
	"github.com/tenure-go/tenure/etcdstore"
)

// blobLimit bounds how long a container may take to be listed or written.
const blobLimit = 5 * time.Minute

// openBlobs opens the container that a flag names.
func (a *app) openBlobs(flag, address string) (*blobs.Container, error) {
	secret, _ := a.lookup("AZURE_STORAGE_CONNECTION_STRING")
	container, err := blobs.Open(address, secret)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Usage, What: "--" + flag, Err: err}
	}
	return container, nil
}

// readBlobs reads the checkpoints that Event Hubs clients keep in a container.
func (a *app) readBlobs(
	ctx context.Context, f *rewriteFlags, group etcdstore.Group,
) ([]etcdstore.Checkpoint, error) {
	if f.anyGroup {
		return nil, &problem.Error{Kind: problem.Usage, What: "--any-group is for files: a container has its groups apart"}
	}
	container, err := a.openBlobs("from-blob", f.fromBlob)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, blobLimit)
	defer cancel()
	found, err := container.Read(bounded, group)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the checkpoints in the container cannot be taken, and nothing was done: %w", err)
	case len(found.Checkpoints) == 0:
		return nil, unknownInContainer(group, found.Others)
	case len(found.Owners) > 0:
		a.log.Warn("partitions have owners in the container: what they checkpoint from now on is not taken along",
			zap.Strings("owners", found.Owners), zap.Time("latest_claim", found.LatestClaim))
	}
	ids := make([]string, len(found.Checkpoints))
	of := make(map[string]etcdstore.Checkpoint, len(ids))
	for i, c := range found.Checkpoints {
		ids[i], of[c.PartitionID] = c.PartitionID, c
	}
	for i, id := range inspect.InOrder(ids) {
		found.Checkpoints[i] = of[id]
	}
	return found.Checkpoints, nil
}

func unknownInContainer(group etcdstore.Group, others []string) error {
	sort.Strings(others)
	do := "It has no checkpoints at all. Is it the right container?"
	if len(others) > 0 {
		do = "It has those of " + strings.Join(others, ", ") + "."
	}
	return &problem.Error{Kind: problem.Usage, What: "the container has no checkpoints of " + group.String(), Do: do}
}

// exportToBlob writes a group's checkpoints to a container.
func (a *app) exportToBlob(ctx context.Context, f *exportFlags, groupText string) error {
	names, err := readGroup(groupText)
	if err != nil {
		return err
	}
	if f.exactNames {
		if names, err = etcdstore.ParseGroup(groupText); err != nil {
			return &problem.Error{Kind: problem.Usage, What: "GROUP", Err: err}
		}
	}
	container, err := a.openBlobs("to-blob", f.toBlob)
	if err != nil {
		return err
	}
	return a.withGroup(ctx, groupText, func(_ *etcdstore.Store, mirror *etcdstore.Mirror) error {
		s := mirror.Snapshot()
		wanted := make([]etcdstore.Checkpoint, 0, len(s.Checkpoints))
		ids := make([]string, 0, len(s.Checkpoints))
		for id := range s.Checkpoints {
			ids = append(ids, id)
		}
		for _, id := range inspect.InOrder(ids) {
			wanted = append(wanted, s.Checkpoints[id])
		}
		if err := blobs.Check(wanted); err != nil {
			return &problem.Error{What: "Event Hubs clients read only checkpoints with both, and nothing was done", Err: err,
				Do: "They get both with the next checkpoint of an owner. Until then there is tenure checkpoint delete."}
		}
		bounded, cancel := context.WithTimeout(ctx, blobLimit)
		defer cancel()
		if f.dryRun {
			return a.showBlobs(bounded, container, names, wanted)
		}
		for _, o := range s.Ownerships {
			if o.OwnerID != "" {
				a.log.Warn("partitions are owned: their owners write checkpoints on, which are not taken along",
					zap.Int("partitions", len(s.Ownerships)))
				break
			}
		}
		err := container.Write(bounded, names, wanted, func(done int) {
			if done%progressEach == 0 && done < len(wanted) {
				_, _ = fmt.Fprintf(a.stderr, "%d of %d checkpoints are written\n", done, len(wanted))
			}
		})
		if err != nil {
			return fmt.Errorf("not all checkpoints are written; give the command again: %w", err)
		}
		_, err = fmt.Fprintf(a.stdout, "%s written, as of revision %d\n",
			screen.Count(len(wanted), "checkpoint was", "checkpoints were"), s.Revision)
		return err //nolint:wrapcheck // Standard output is not to be written to.
	})
}

// progressEach is after how many blobs progress is told.
const progressEach = 100

// showBlobs shows what would be written.
func (a *app) showBlobs(
	ctx context.Context, container *blobs.Container, names etcdstore.Group, wanted []etcdstore.Checkpoint,
) error {
	found, err := container.Read(ctx, names)
	if err != nil {
		return fmt.Errorf("the checkpoints in the container cannot be read: %w", err)
	}
	now := make(map[string]etcdstore.Checkpoint, len(found.Checkpoints))
	for _, c := range found.Checkpoints {
		now[c.PartitionID] = c
	}
	t := inspect.Table{Head: []string{"PARTITION", "NOW", "THEN"}}
	for _, c := range wanted {
		t.Add(c.PartitionID, positionWords(now[c.PartitionID]), positionWords(c))
	}
	var page inspect.Page
	page.Table(t)
	return a.print(&page)
}
