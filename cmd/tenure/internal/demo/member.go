package demo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// witness is told what a member does, in order.
type witness interface {
	printed(member string, e event)
	exited(member, how string, ok bool)
}

// member is one process of "tenure consume".
type member struct {
	name    string
	logFile string
	process *exec.Cmd
	ended   chan struct{}
}

// startMember starts the program. Its log goes to the file.
func startMember(name, program string, arguments []string, logFile string, w witness) (*member, error) {
	m := &member{name: name, logFile: logFile, ended: make(chan struct{})}
	failed := func(err error) (*member, error) { return nil, fmt.Errorf("start %s: %w", name, err) }
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // In a folder of our own.
	if err != nil {
		return failed(err)
	}
	defer log.Close()                               //nolint:errcheck // The process has its own copy.
	m.process = exec.Command(program, arguments...) //nolint:noctx,gosec // This program; the demo ends it.
	m.process.Env = plainEnvironment(os.Environ())
	m.process.SysProcAttr = attributes()
	m.process.Stderr = log
	stdout, err := m.process.StdoutPipe()
	if err != nil {
		return failed(err)
	}
	if err := m.process.Start(); err != nil {
		return failed(err)
	}
	go func() {
		defer close(m.ended)
		eachLine(stdout, func(line []byte) {
			e := event{SequenceNumber: -1, Body: string(line)} // what is no event is shown as it is
			_ = json.Unmarshal(line, &e)
			w.printed(name, e)
		})
		_ = m.process.Wait() // the state says it
		w.exited(name, m.process.ProcessState.String(), m.process.ProcessState.Success())
	}()
	return m, nil
}

// plainEnvironment leaves out what would send a member to another etcd than the demo's.
func plainEnvironment(environment []string) []string {
	var kept []string
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "TENURE_") && !strings.HasPrefix(variable, "ETCDCTL_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// eachLine hands on whole lines: what a killed process had no time to finish was not printed.
func eachLine(reader io.Reader, handle func(line []byte)) {
	lines := bufio.NewReader(reader)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		handle(line[:len(line)-1])
	}
}

// signal sends a signal. It fails when the process has ended.
func (m *member) signal(signal os.Signal) error {
	if err := m.process.Process.Signal(signal); err != nil {
		return fmt.Errorf("signal %s: %w", m.name, err)
	}
	return nil
}

// kill ends the process at once, also one that is paused, and waits for its end. Killing it again is harmless.
func (m *member) kill() {
	_ = m.process.Process.Kill() // it may have ended
	<-m.ended
}

// lastWords returns the last lines of the member's log.
func (m *member) lastWords(lines int) string {
	raw, err := os.ReadFile(m.logFile)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
