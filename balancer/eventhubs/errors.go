package eventhubs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/tenure-go/tenure/etcdstore"
)

// What a partition's reading can end with, beside the handler's own error and the SDK's. The balancer starts the
// partition again after a while and tells [balancer.Events] of it.
var (
	// ErrStartRefused means that Event Hubs does not let the partition start where it is to. The detail is a
	// [StartRefusedError].
	ErrStartRefused = errors.New("event hubs refuses the start position")

	// ErrCutOff means that another reader of the consumer group has taken the partition's link, with an owner level that
	// is no lower. It is the next owner's, or an SDK processor's in a mixed group. If etcd still has the partition as
	// ours, it is some other program's, which should have a consumer group of its own.
	ErrCutOff = errors.New("another reader has taken the partition's link")
)

// StartRefusedError says where a partition was to start and what can be done about it. It is an [ErrStartRefused].
type StartRefusedError struct {
	Group       etcdstore.Group
	PartitionID string

	// Start is the position in words.
	Start string

	// CheckpointKey is the key in etcd of the checkpoint that says so. It is empty where there is none.
	CheckpointKey string

	// Err is what Event Hubs says.
	Err error
}

func (e *StartRefusedError) Error() string {
	remedy := "Options.StartPositions names a position that the partition does not have"
	if e.CheckpointKey != "" {
		remedy = "the checkpoint may be of a hub that was deleted and made again; delete " + e.CheckpointKey +
			" in etcd to begin at Options.StartPositions instead"
	}
	return fmt.Sprintf("%v: partition %s of %s cannot start %s: %s: %v",
		ErrStartRefused, e.PartitionID, e.Group, e.Start, remedy, e.Err)
}

// Is reports whether target is [ErrStartRefused].
func (e *StartRefusedError) Is(target error) bool { return target == ErrStartRefused }

func (e *StartRefusedError) Unwrap() error { return e.Err }

// The service's conditions for refusals that the SDK does not tell from a lost connection.
const (
	conditionArgument  = "com.microsoft:argument-error"
	conditionStolen    = "amqp:link:stolen"
	conditionGeoOffset = "com.microsoft:georeplication:invalid-offset"
)

func isStartRefused(err error) bool { return strings.Contains(err.Error(), conditionArgument) }

func isCutOff(err error) bool {
	hub, ok := errors.AsType[*azeventhubs.Error](err)
	return ok && hub.Code == azeventhubs.ErrorCodeOwnershipLost || strings.Contains(err.Error(), conditionStolen)
}

// isForeignOffset reports whether the offset is of before the namespace was given geo-replication.
func isForeignOffset(err error) bool { return strings.Contains(err.Error(), conditionGeoOffset) }
