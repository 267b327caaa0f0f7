// Package problem holds errors for people: what is wrong, and what to do about it.
package problem

import "errors"

// Kind says whose problem it is. The command's exit status tells kinds apart.
type Kind int

const (
	// Failure is everything that is none of the others.
	Failure Kind = iota
	// Usage is a wrong flag, argument or environment variable.
	Usage
	// Etcd is an etcd that cannot be worked with.
	Etcd
	// EventHubs is an event hub that cannot be worked with.
	EventHubs
	// NotExecutable is a program to be run that may not be.
	NotExecutable
	// NotFound is a program to be run that there is not.
	NotFound
)

// Error is a problem that a person can do something about.
type Error struct {
	Kind Kind

	// What says what is wrong, in the words of the command's flags. It never holds a secret.
	What string

	// Do says what to do. It may be empty.
	Do string

	// Err is the cause, if it tells more than What does.
	Err error
}

func (e *Error) Error() string {
	message := e.What
	if e.Err != nil {
		message += ": " + e.Err.Error()
	}
	if e.Do != "" {
		message += "\n  " + e.Do
	}
	return message
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first [Error] in err's chain.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Failure
}
