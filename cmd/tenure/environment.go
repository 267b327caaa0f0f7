package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
)

// lookupEnv is [os.LookupEnv].
type lookupEnv func(name string) (string, bool)

// etcdctlVariables are the flags whose TENURE_ variable gives way to etcdctl's own of the same meaning.
func etcdctlVariables() map[string]bool {
	return map[string]bool{
		"endpoints": true, "cacert": true, "cert": true, "key": true, "user": true, "password": true,
		"insecure-skip-tls-verify": true, "dial-timeout": true,
	}
}

// variables are the environment variables that stand for a flag, in the order in which they count.
func variables(flag string) []string {
	suffix := strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
	names := []string{"TENURE_" + suffix}
	if etcdctlVariables()[flag] {
		names = append(names, "ETCDCTL_"+suffix)
	}
	return names
}

// find returns the first variable for the flag that is set and not empty.
func (lookup lookupEnv) find(flag string) (name, value string) {
	for _, name := range variables(flag) {
		if value, ok := lookup(name); ok && value != "" {
			return name, value
		}
	}
	return "", ""
}

// sources tells for each flag that was given where it came from: "--endpoints", or the environment variable's name.
type sources map[string]string

// fromFlag reports whether the flag was on the command line.
func (s sources) fromFlag(flag string) bool { return strings.HasPrefix(s[flag], "--") }

// resolve fills in from the environment what the command line leaves open, except the flags in skip, and says where
// each value came from. All bad values are reported together.
func resolve(flags *pflag.FlagSet, lookup lookupEnv, skip map[string]bool) (sources, error) {
	found := make(sources)
	var problems []error
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed {
			found[flag.Name] = "--" + flag.Name
			return
		}
		name, value := lookup.find(flag.Name)
		if name == "" || skip[flag.Name] {
			return
		}
		if err := flags.Set(flag.Name, value); err != nil {
			// The flag package's own message shows the value, which for --user may hold a password.
			problems = append(problems, fmt.Errorf("%s is no %s", name, flag.Value.Type()))
			return
		}
		found[flag.Name] = name
	})
	if len(problems) > 0 {
		return nil, &problem.Error{Kind: problem.Usage, What: "the environment has bad values",
			Err: errors.Join(problems...)}
	}
	return found, nil
}
