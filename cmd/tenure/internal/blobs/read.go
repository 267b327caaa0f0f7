package blobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/etcdstore"
)

// What a blob is of, as its name says.
const (
	kindCheckpoint = "checkpoint"
	kindOwnership  = "ownership"
)

// Contents are what a container holds of a group.
type Contents struct {
	// Checkpoints are sorted by nothing.
	Checkpoints []etcdstore.Checkpoint

	// Owners are those of partitions, each once, and LatestClaim is when one of them last claimed or renewed, by the
	// service's clock. A processor that was stopped properly has relinquished what it had.
	Owners      []string
	LatestClaim time.Time

	// Others are the groups that the container has checkpoints of, if it has none of this.
	Others []string
}

// BlobError names a blob that is no checkpoint, and why.
type BlobError struct {
	Name string
	Err  error
}

func (e *BlobError) Error() string { return fmt.Sprintf("blob %q: %v", e.Name, e.Err) }
func (e *BlobError) Unwrap() error { return e.Err }

// Read lists a container. The error joins a [BlobError] for each blob that is wrong.
func (c *Container) Read(ctx context.Context, group etcdstore.Group) (*Contents, error) {
	found := reading{group: group.Fold(), names: make(map[string]string)}
	// No prefix: names are in any case. Such containers hold little else.
	pages := c.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{
		Include: container.ListBlobsInclude{Metadata: true},
	})
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, c.explain(ctx, err)
		}
		for _, item := range page.Segment.BlobItems {
			if item.Name == nil {
				continue
			}
			var modified time.Time
			if item.Properties != nil && item.Properties.LastModified != nil {
				modified = *item.Properties.LastModified
			}
			found.see(*item.Name, item.Metadata, modified)
		}
	}
	if len(found.wrong) > 0 {
		return nil, errors.Join(found.wrong...)
	}
	if len(found.Checkpoints) > 0 {
		found.Others = nil
	}
	return &found.Contents, nil
}

// reading is what a listing has come to.
type reading struct {
	Contents

	group etcdstore.Group
	names map[string]string // by partition: the blob of its checkpoint
	wrong []error
}

// see takes in a blob.
func (r *reading) see(name string, metadata map[string]*string, modified time.Time) {
	parts := strings.Split(name, "/")
	const all = 5
	if len(parts) != all {
		return // something else
	}
	kind, partition := strings.ToLower(parts[3]), parts[4]
	group := etcdstore.Group{
		FullyQualifiedNamespace: parts[0], EventHubName: parts[1], ConsumerGroup: parts[2],
	}.Fold()
	switch {
	case partition == "" || kind != kindCheckpoint && kind != kindOwnership:
	case group != r.group:
		if other := group.String(); kind == kindCheckpoint && !slices.Contains(r.Others, other) {
			r.Others = append(r.Others, other)
		}
	case kind == kindOwnership:
		r.seeOwner(valueOf(metadata, "ownerid"), modified)
	default:
		c, err := parse(metadata)
		if err == nil {
			err = r.add(name, partition, c)
		}
		if err != nil {
			r.wrong = append(r.wrong, &BlobError{name, err})
		}
	}
}

func (r *reading) seeOwner(owner *string, modified time.Time) {
	if owner == nil {
		return // relinquished
	}
	if !slices.Contains(r.Owners, *owner) {
		r.Owners = append(r.Owners, *owner)
	}
	if modified.After(r.LatestClaim) {
		r.LatestClaim = modified
	}
}

// add keeps a checkpoint. Two clients that write a name in different case leave two of one partition.
func (r *reading) add(name, partition string, c etcdstore.Checkpoint) error {
	c.Group, c.PartitionID = r.group, partition
	before, twice := r.names[partition]
	if !twice {
		r.names[partition] = name
		r.Checkpoints = append(r.Checkpoints, c)
		return nil
	}
	i := slices.IndexFunc(r.Checkpoints, func(other etcdstore.Checkpoint) bool { return other.PartitionID == partition })
	if inspect.SamePosition(r.Checkpoints[i], c) {
		return nil
	}
	return fmt.Errorf("blob %q is of the same partition, and has another position: one of the two is old, "+
		"and is to be deleted", before)
}

// parse reads a checkpoint from a blob's metadata.
func parse(metadata map[string]*string) (etcdstore.Checkpoint, error) {
	var c etcdstore.Checkpoint
	c.Offset = valueOf(metadata, keyOffset)
	if text := valueOf(metadata, keySequenceNumber); text != nil {
		number, err := strconv.ParseInt(*text, 10, 64)
		if err != nil {
			return c, fmt.Errorf("its %s is %q: want a decimal number", keySequenceNumber, *text)
		}
		c.SequenceNumber = &number
	}
	if c.SequenceNumber == nil && c.Offset == nil {
		return c, errors.New("its metadata have neither sequencenumber nor offset")
	}
	return c, nil
}

const (
	keySequenceNumber = "sequencenumber"
	keyOffset         = "offset"

	// none is what Python makes of nothing.
	none = "None"
)

// valueOf returns a value of the metadata, nil if there is none.
func valueOf(metadata map[string]*string, key string) *string {
	for name, value := range metadata {
		if strings.EqualFold(name, key) && value != nil && *value != "" && *value != none {
			return value
		}
	}
	return nil
}
