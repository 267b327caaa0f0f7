package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
)

// reading reads lines as if a worker had written them and ended.
func reading(lines ...string) *reports {
	r := newReports(zap.NewNop())
	r.read(strings.NewReader(strings.Join(lines, "")))
	return r
}

// text returns all answers that wait.
func (a *answers) text() string {
	var all []byte
	for len(a.runs) > 0 {
		text, _ := a.take()
		all = append(all, text...)
	}
	return string(all)
}

func TestWhatWaitsIsWrittenOnceAndAnsweredLineByLine(t *testing.T) {
	pipe, lines := io.Pipe()
	r, told, p := newReports(zap.NewNop()), newAnswers(), newPartition("0")
	busy, settle := make(chan struct{}), make(chan error)
	p.onCheckpoint = func(context.Context, position) error {
		busy <- struct{}{}
		return <-settle
	}
	saved := make(chan struct{})
	go r.read(pipe)
	go func() {
		defer close(saved)
		r.save(t.Context(), p, told)
	}()
	write := func(text string) {
		t.Helper()
		_, err := io.WriteString(lines, text)
		require.NoError(t, err)
	}
	// A line that no more than one read can hold is read when the next write returns.
	barrier := func(n int) {
		t.Helper()
		r.mu.Lock()
		defer r.mu.Unlock()
		for count(r.waiting) < n {
			r.changed.Wait()
		}
	}

	write(`{"offset":"1"}` + "\n")
	<-busy
	write(`{"offset":"2"}` + "\nnonsense\n" + `{"offset":"3"}` + "\n" + `{"sequence_number":4}` + "\n")
	barrier(4)
	settle <- nil
	<-busy
	require.Equal(t, "durable 1\n", told.text())
	write("nonsense\n")
	barrier(1)
	settle <- fmt.Errorf("no answer\nwithin a second: %w", etcdstore.ErrOutcomeUnknown)
	told.await(5)
	require.Equal(t, "unknown 2 no answer; within a second: outcome unknown\n"+
		"invalid 3 not a JSON object, such as {\"sequence_number\":7,\"offset\":\"1234\"}\n"+
		"unknown 4 no answer; within a second: outcome unknown\n"+
		"unknown 5 no answer; within a second: outcome unknown\n"+
		"invalid 6 not a JSON object, such as {\"sequence_number\":7,\"offset\":\"1234\"}\n", told.text())
	require.Equal(t, []string{"@1"}, p.checkpoints())

	write(`{"offset":"5"}` + "\n")
	<-busy
	write(`{"offset":"6"}` + "\n" + `{"offset":"7"}` + "\n" + `{"offset":"no end`)
	require.NoError(t, lines.Close())
	r.awaitEnd()
	settle <- nil
	<-saved
	require.Equal(t, "durable 7\n", told.text())
	require.Equal(t, "@7", r.rest().String(), "what was not begun is for the release")
	require.Equal(t, []string{"@1", "@5"}, p.checkpoints())
}

func count(runs []run) (lines int) {
	for _, r := range runs {
		lines += r.lines
	}
	return lines
}

// await waits for that many answers.
func (a *answers) await(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for count(a.runs) < n {
		a.changed.Wait()
	}
}

// awaitEnd waits until the last line has been read.
func (r *reports) awaitEnd() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.ended {
		r.changed.Wait()
	}
}

func TestOutcomes(t *testing.T) {
	for _, test := range []struct {
		err  error
		want outcome
	}{
		{nil, durable},
		{etcdstore.ErrOwnershipLost, rejected},
		{etcdstore.ErrCheckpointConflict, rejected},
		{context.Canceled, rejected},
		{context.DeadlineExceeded, rejected},
		{errors.Join(context.Canceled, etcdstore.ErrOutcomeUnknown), unknown},
		{&etcdstore.ArgumentError{Field: "x"}, invalid},
		{io.ErrUnexpectedEOF, unknown},
	} {
		got, reason := judge(fmt.Errorf("in\ntwo lines: %w", test.err))
		if test.err == nil {
			got, reason = judge(nil)
		}
		require.Equal(t, test.want, got, "%v", test.err)
		require.Equal(t, test.err == nil, reason == "")
		require.NotContains(t, reason, "\n")
	}
}

func TestAnswersThatNobodyReadsAreFewAndNumbered(t *testing.T) {
	a := newAnswers()
	for range 100_000 {
		require.Zero(t, a.add([]run{{durable, "", 1}}))
	}
	require.Len(t, a.runs, 1)
	dropped := 0
	for i := range maxRuns {
		dropped += a.add([]run{{invalid, "odd", 1}, {durable, "", 1 + i%2}})
	}
	require.Len(t, a.runs, maxRuns)
	require.Greater(t, dropped, 100_000)
	text, _ := a.take()
	require.True(t, strings.HasPrefix(string(text), fmt.Sprintf("durable %d\n", dropped+1)) ||
		strings.HasPrefix(string(text), fmt.Sprintf("invalid %d odd\n", dropped+1)), string(text))
}

func TestAnswersEndWithTheirReader(t *testing.T) {
	for _, end := range []func(*answers, *os.File){
		func(_ *answers, reader *os.File) { _ = reader.Close() },
		func(a *answers, _ *os.File) { a.close() },
	} {
		reader, writer, err := os.Pipe()
		require.NoError(t, err)
		a := newAnswers()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			a.write(writer)
		}()
		a.add([]run{{durable, "", 100_000}}) // more than the pipe holds
		first := make([]byte, len("durable 1\n"))
		_, err = io.ReadFull(reader, first)
		require.NoError(t, err)
		require.Equal(t, "durable 1\n", string(first))
		end(a, reader)
		_ = writer.SetWriteDeadline(time.Now())
		<-ended
		_ = reader.Close()
		require.NoError(t, writer.Close())
	}
}

func TestLinesOfDescriptor3(t *testing.T) {
	long := `{"offset":"` + strings.Repeat("x", maxLine) + `"}` + "\n"
	fits := `{"offset":"` + strings.Repeat("x", maxLine-len(`{"offset":""}`)-1) + `"}` + "\n"
	r := reading(`{"offset":"1"}`+"\r\n", long, fits, "\n", `{"offset":"2"}`)
	require.Equal(t, []run{
		{undecided, "", 1}, {invalid, "longer than 32 KiB", 1}, {undecided, "", 1},
		{invalid, `not a JSON object, such as {"sequence_number":7,"offset":"1234"}`, 1},
	}, r.waiting)
	require.Len(t, *r.rest().offset, maxLine-len(`{"offset":""}`)-1, "a line without its end is none")
	require.Nil(t, reading(strings.TrimSuffix(long, "\n")).rest())
	require.Nil(t, reading().rest())
}

// What waits is bounded: a worker that mixes lines of all kinds is read no further for now.
func TestTooMuchThatWaitsIsReadLater(t *testing.T) {
	var lines bytes.Buffer
	for i := range 2 * maxRuns {
		fmt.Fprintf(&lines, "{\"sequence_number\":%d}\nnonsense\n", i)
	}
	r, told := newReports(zap.NewNop()), newAnswers()
	go r.read(&lines)
	r.mu.Lock()
	for len(r.waiting) < maxRuns {
		r.changed.Wait()
	}
	require.Len(t, r.waiting, maxRuns)
	r.mu.Unlock()
	p := newPartition("0")
	r.save(t.Context(), p, told)
	last := p.checkpoints()
	if rest := r.rest(); rest != nil {
		last = []string{rest.String()}
	}
	require.Equal(t, fmt.Sprintf("#%d", 2*maxRuns-1), last[len(last)-1])
}
