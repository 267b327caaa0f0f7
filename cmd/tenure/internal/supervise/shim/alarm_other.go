//go:build !linux

package shim

import (
	"math"
	"sync/atomic"
	"time"
)

// alarmPoll is how often the clock is looked at. Go's timers stand still while the machine sleeps.
const alarmPoll = 100 * time.Millisecond

// alarm rings when the clock of [Now] has reached a time.
type alarm struct {
	// ring receives once the time has come. It may receive for a time that has been changed since.
	ring <-chan struct{}

	at    atomic.Int64
	moved chan struct{}
}

func newAlarm() (*alarm, error) {
	ring := make(chan struct{}, 1)
	a := &alarm{ring: ring, moved: make(chan struct{}, 1)}
	a.at.Store(math.MaxInt64)
	go func() { // for as long as the shim lives
		for {
			left := time.Duration(a.at.Load()) - Now()
			if left <= 0 {
				select {
				case ring <- struct{}{}:
				default:
				}
			}
			timer := time.NewTimer(min(max(left, time.Millisecond), alarmPoll))
			select {
			case <-timer.C:
			case <-a.moved:
			}
			timer.Stop()
		}
	}()
	return a, nil
}

// set changes the time to ring at. One that has passed rings at once.
func (a *alarm) set(at time.Duration) error {
	a.at.Store(int64(at))
	select {
	case a.moved <- struct{}{}:
	default:
	}
	return nil
}
