package consume

import (
	"strings"
	"sync/atomic"

	azlog "github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
	"go.uber.org/zap"
)

// SDKLog passes on what the Azure SDK says: failures that it tells nobody else of as warnings or errors, the rest for
// debugging.
type SDKLog struct {
	log     *zap.Logger
	refused atomic.Pointer[refusedStart]
}

// refusedStart is called for a partition that the service does not let begin where it is to.
type refusedStart func(partition, reason string)

// ListenToSDK begins to listen. The SDK has one listener for the whole process and reads it without a lock, so this
// comes before any use of the SDK and is not taken back.
func ListenToSDK(log *zap.Logger) *SDKLog {
	s := &SDKLog{log: log}
	azlog.SetListener(s.hear)
	return s
}

func (s *SDKLog) hear(event azlog.Event, message string) {
	switch {
	// The Processor tries each again in its next round.
	case strings.HasPrefix(message, notOpened):
		partition, reason, _ := strings.Cut(strings.TrimPrefix(message, notOpened), "': ")
		if refused := s.refused.Load(); refused != nil && isRefusedStart(reason) {
			(*refused)(partition, reason)
			return
		}
		s.log.Warn(message)
	// A partition of a namespace that was given geo-replication begins at its earliest event once more.
	case strings.HasPrefix(message, "Event Hub is in geo-replication mode"),
		strings.HasPrefix(message, "Failed to relinquish ownerships"):
		s.log.Warn(message)
	default:
		s.log.Debug(message, zap.String("event", string(event)))
	}
}

const notOpened = "failed to create partition client for partition '"

// isRefusedStart looks for what the service says to an offset or sequence number that it does not have.
func isRefusedStart(reason string) bool {
	return strings.Contains(reason, "com.microsoft:argument-error")
}
