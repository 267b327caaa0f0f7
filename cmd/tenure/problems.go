package main

import (
	"errors"
	"fmt"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
)

// problems are what is wrong with a command line.
type problems struct {
	given func(flag string) bool
	found []error
}

func (p *problems) addf(format string, values ...any) {
	p.found = append(p.found, fmt.Errorf(format, values...))
}

func (p *problems) wantf(ok bool, format string, values ...any) {
	if !ok {
		p.addf(format, values...)
	}
}

// only reports those of the flags that were given where they mean nothing.
func (p *problems) only(purpose string, flags ...string) {
	for _, flag := range flags {
		p.wantf(!p.given(flag), "--%s is %s", flag, purpose)
	}
}

// err reports all of them together.
func (p *problems) err() error {
	if len(p.found) == 0 {
		return nil
	}
	return &problem.Error{Kind: problem.Usage, What: "wrong flags", Err: errors.Join(p.found...)}
}
