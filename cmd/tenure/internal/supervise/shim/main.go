package shim

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Main is the shim's process: it does what the process that called [Start] tells it, with the arguments that it got
// from there, and returns its exit status.
func Main(args []string, stderr io.Writer) int {
	// The program dies with the thread that started it.
	runtime.LockOSThread()
	orders, reports := os.NewFile(fdOrders, "orders"), os.NewFile(fdReports, "reports")
	if len(args) < argsBefore+1 || !isPipe(orders) || !isPipe(reports) {
		_, _ = fmt.Fprintln(stderr, "this command is started by others: it runs a program that is not to outlive its lease")
		return 2
	}
	unix.CloseOnExec(fdOrders)
	unix.CloseOnExec(fdReports)
	showName("tenure-shim")
	standFast()
	s := &shim{reports: reports}
	if err := s.run(orders, args[argsBefore-1], args[argsBefore:]); err != nil {
		s.report(wordFailed, err.Error())
		return 1
	}
	return 0
}

func isPipe(file *os.File) bool {
	if file == nil {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

// standFast makes signals that are meant for programs pass the shim by: it ends when its program has. The program does
// not inherit that, and what was ignored before stays ignored in it.
func standFast() {
	taken := make(chan os.Signal, 1) // Nobody receives: a signal that finds it full is dropped.
	for _, sig := range []os.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTSTP, unix.SIGTTIN,
		unix.SIGTTOU,
	} {
		if !signal.Ignored(sig) {
			signal.Notify(taken, sig)
		}
	}
}

// shim is one program's.
type shim struct {
	reports  io.Writer
	alarm    *alarm
	deadline time.Duration

	program *exec.Cmd
	asked   bool // it was sent SIGTERM
	ended   bool // it has ended, and has not been reaped
	leaving bool // nothing is waited for but its end
}

// run starts the program and returns when nothing is left of it. The error is why it could not be started.
func (s *shim) run(pipe io.Reader, path string, args []string) error {
	// Both goroutines end with the process at the latest.
	orders := make(chan message)
	go func() {
		defer close(orders)
		receive(pipe, func(m message) { orders <- m })
	}()
	var err error
	if s.alarm, err = newAlarm(); err != nil {
		return err
	}
	first, ok := <-orders
	if !ok || first.word != wordTrust {
		return errors.New("nobody says until when the program may run")
	}
	s.obey(first)
	if Now() >= s.deadline {
		return errors.New("the time until when the program may run has passed")
	}
	if err := s.start(path, args); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		awaitExit(s.program.Process.Pid)
	}()
	for !s.ended || !s.leaving {
		select {
		case order, ok := <-orders:
			if !ok {
				orders = nil
				s.abandoned()
				continue
			}
			s.obey(order)
		case <-s.alarm.ring:
			s.expire()
		case <-exited:
			exited = nil
			s.ended = true
			s.report(wordEnded, "")
		}
	}
	s.kill()
	_ = s.program.Wait() // The status tells.
	status, _ := s.program.ProcessState.Sys().(syscall.WaitStatus)
	s.report(wordStatus, strconv.FormatUint(uint64(status), 10))
	return nil
}

// start starts the program with the shim's own standard streams and its descriptors 3 and 4, which the shim closes
// then: their other ends are to see when the program has closed them.
func (s *shim) start(path string, args []string) error {
	three, four := os.NewFile(3, "descriptor 3"), os.NewFile(4, "descriptor 4")
	s.program = &exec.Cmd{
		Path: path, Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		ExtraFiles: []*os.File{three, four}, SysProcAttr: attributes(),
	}
	if err := s.program.Start(); err != nil {
		return fmt.Errorf("start the program: %w", err)
	}
	s.report(wordStarted, strconv.Itoa(s.program.Process.Pid))
	_ = three.Close() // There is nothing to be lost in them.
	_ = four.Close()
	return nil
}

func (s *shim) obey(order message) {
	switch order.word {
	case wordTrust:
		until, err := order.number()
		if err == nil {
			s.deadline = time.Duration(until)
			err = s.alarm.set(s.deadline)
		}
		if err != nil {
			s.deadline = 0
			s.expire()
		}
	case wordTerm:
		s.term()
	case wordRelease:
		s.leave()
	}
}

// abandoned is called when the supervisor has gone.
func (s *shim) abandoned() {
	if s.asked || s.ended {
		s.leave()
		return
	}
	s.term()
}

// term asks the program to end: not its children, which may be doing what it has to finish. What a program leaves
// behind when it ends is asked too.
func (s *shim) term() {
	s.asked = true
	if s.program == nil {
		return
	}
	to := s.program.Process.Pid
	if s.ended {
		to = -to
	}
	_ = unix.Kill(to, unix.SIGTERM) // It is there until it is reaped.
}

// expire ends the program if its time has come: the alarm may have been set for a later time since it rang.
func (s *shim) expire() {
	if Now() < s.deadline {
		return
	}
	s.report(wordExpired, "")
	s.leave()
}

func (s *shim) leave() {
	s.leaving = true
	s.kill()
}

func (s *shim) kill() {
	if s.program != nil {
		_ = unix.Kill(-s.program.Process.Pid, unix.SIGKILL) // Its id is its own until it is reaped.
	}
}

// report tells the supervisor. One that has gone does not need it.
func (s *shim) report(word, value string) { _ = message{word, value}.send(s.reports) }
