package consume

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestAStopSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	for words, stalled := range map[string]bool{
		"stopping: waiting for the reader of standard output; a second signal ends at once":     true,
		"stopping: waiting for etcd to take the last checkpoints; a second signal ends at once": false,
	} {
		synctest.Test(t, func(t *testing.T) {
			core, logged := observer.New(zap.InfoLevel)
			from, to := io.Pipe()
			c := &processorConsumer{ProcessorConfig: ProcessorConfig{Settings: Settings{Log: zap.New(core)}}}
			c.printer.out = &output{w: to, onFailed: func() {}}
			release := make(chan struct{})
			c.readers.Go(func() {
				if stalled {
					_ = c.printer.out.write([]byte("stalled\n"))
					return
				}
				<-release
			})
			time.AfterFunc(2*stallNotice, func() {
				close(release)
				_ = from.Close()
			})
			c.drain(func() { require.Fail(t, "the readers were in time") })
			require.Equal(t, 1, logged.Len())
			require.Equal(t, words, logged.All()[0].Message)
		})
	}
}
