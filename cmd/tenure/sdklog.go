package main

import (
	"strings"

	azlog "github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
	"go.uber.org/zap"
)

// listenToSDK passes on what the Azure SDK says: failures that it tells nobody else of as warnings, the rest for
// debugging. The SDK has one listener for the whole process and reads it without a lock, so this comes before any use
// of the SDK and is not taken back.
func (a *app) listenToSDK() {
	log := a.log.Named("sdk")
	azlog.SetListener(func(event azlog.Event, message string) {
		// The Processor tries each again in its next round.
		if strings.HasPrefix(message, "failed to create partition client") ||
			strings.HasPrefix(message, "Failed to relinquish ownerships") {
			log.Warn(message)
			return
		}
		log.Debug(message, zap.String("event", string(event)))
	})
}
