package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/cmd/tenure/internal/cluster"
	"github.com/tenure-go/tenure/cmd/tenure/internal/devetcd"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
)

const longHelp = `Tenure shares the partitions of an event hub among the processes of a fleet, and keeps who owns
which partition, and how far each has been read, in etcd.

Environment: every flag that all commands have, but --dev, can be given as TENURE_ and its name
(TENURE_ENDPOINTS). Those that etcdctl has too fall back to its variables (ETCDCTL_ENDPOINTS,
ETCDCTL_CACERT, ETCDCTL_CERT, ETCDCTL_KEY, ETCDCTL_USER, ETCDCTL_PASSWORD, ...). A flag wins over
the environment. The log says which was used.

--dev uses an etcd of this machine's own in place of --endpoints: one for all tenure processes with
the same --dev-dir. It starts with the first of them, outlives it, and ends some seconds after the
last. Its data stay in that folder: delete the folder to start afresh. It has no authentication, and
any user of this machine can reach it: it is for development.

etcd must be 3.5.0 or newer; 3.5.33, 3.6.14, 3.7.1 or newer is recommended.

Logs go to standard error. Exit status:
    0  done; also after SIGINT or SIGTERM, once what was begun has been finished
    1  failed
    2  wrong use: a flag, an argument or an environment variable
    3  etcd cannot be used: unreachable, login or TLS wrong, too old, out of space
    4  Event Hubs cannot be used: unreachable, unknown hub, credentials wrong
  126  "tenure run" cannot execute its program (127: there is none of that name)
  130  ended at once by a second SIGINT (143: SIGTERM)
  141  the reader of standard output has gone, as in "tenure consume ... | head"`

const examples = `  # Print the events of the hub orders, sharing its partitions with whoever else does the same
  export EVENTHUB_CONNECTION_STRING='Endpoint=sb://...'
  tenure consume --endpoints localhost:2379 --event-hub orders --consumer-group billing

  # The same without an etcd at hand
  tenure consume --dev --event-hub orders --consumer-group billing`

const defaultPrefix = "/tenure/v1"

// app is one run of the command.
type app struct {
	stdout, stderr io.Writer
	lookup         lookupEnv
	log            *zap.Logger

	// The flags that all commands have.
	etcd         cluster.Settings
	passwordFile string
	devLinger    time.Duration
	logLevel     string
	logFormat    string

	from sources
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "tenure",
		Short:         "Partition ownership and checkpoints for consumer fleets, kept in etcd",
		Long:          longHelp,
		Example:       examples,
		Version:       ownVersion(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return &problem.Error{Kind: problem.Usage, What: fmt.Sprintf("there is no command %q", args[0]),
				Do: didYouMean(command, args[0])}
		},
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
		PersistentPreRunE: func(command *cobra.Command, _ []string) error {
			if flags := command.Root().PersistentFlags(); command.Annotations[quietLog] != "" && !flags.Changed("log-level") {
				a.logLevel = "warn"
			}
			return a.prepare(command.Root().PersistentFlags())
		},
	}
	root.SetVersionTemplate(versionText())
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return &problem.Error{Kind: problem.Usage, What: err.Error(), Do: "See: " + command.CommandPath() + " --help"}
	})
	a.addFlags(root.PersistentFlags())
	root.AddCommand(a.consumeCommand(), a.runCommand(), a.versionCommand(), a.demoCommand(), a.devEtcdCommand(),
		a.topCommand(), a.doctorCommand(), a.benchCommand(), a.groupCommand(), a.memberCommand(), a.partitionCommand(),
		a.checkpointCommand())
	a.completeAll(root)
	return root
}

func didYouMean(command *cobra.Command, word string) string {
	command.SuggestionsMinimumDistance = 2 // as cobra itself does
	if similar := command.SuggestionsFor(word); len(similar) > 0 {
		return "Did you mean " + strings.Join(similar, " or ") + "?"
	}
	return "See: " + command.CommandPath() + " --help"
}

func (a *app) addFlags(flags *pflag.FlagSet) {
	flags.StringSliceVar(&a.etcd.Endpoints, "endpoints", nil, "etcd's client `addresses`, separated by commas")
	flags.StringVar(&a.etcd.CACert, "cacert", "", "verify etcd's certificate with this CA bundle (`file`, PEM)")
	flags.StringVar(&a.etcd.Cert, "cert", "", "identify to etcd with this client certificate (`file`, PEM)")
	flags.StringVar(&a.etcd.Key, "key", "", "the key of --cert (`file`, PEM)")
	flags.BoolVar(&a.etcd.InsecureSkipVerify, "insecure-skip-tls-verify", false,
		"do not verify etcd's certificate (for tests only)")
	flags.StringVar(&a.etcd.User, "user", "", "etcd `user[:password]`; safer: TENURE_PASSWORD or --password-file")
	flags.StringVar(&a.passwordFile, "password-file", "", "`file` that holds the password of --user")
	flags.StringVar(&a.etcd.Prefix, "prefix", defaultPrefix, "etcd key `prefix` of everything that Tenure keeps")
	flags.DurationVar(&a.etcd.DialTimeout, "dial-timeout", 10*time.Second, "how long etcd may take to answer at the start")
	flags.BoolVar(&a.etcd.Dev, "dev", false, "use a development etcd of this machine's own, started as needed")
	flags.StringVar(&a.etcd.DevDir, "dev-dir", "",
		"data `folder` of --dev (default tenure/dev in the user's cache folder); delete it to start afresh")
	flags.DurationVar(&a.devLinger, "dev-linger", devetcd.DefaultLinger,
		"how long --dev's etcd stays after its last client")
	flags.StringVar(&a.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&a.logFormat, "log-format", formatConsole, "console or json")
	if err := flags.MarkHidden("dev-linger"); err != nil {
		panic(err) // The flag is defined just above.
	}
}

// onlyFlag are the flags that no environment variable stands for: which etcd is used must be seen where it is chosen.
func onlyFlag() map[string]bool { return map[string]bool{"dev": true} }

// connectionFlags describe an etcd of the user's, and so do not go with --dev.
func connectionFlags() []string {
	return []string{"endpoints", "cacert", "cert", "key", "insecure-skip-tls-verify", "user", "password-file"}
}

// prepare settles the flags that all commands have, and the log. A command's own flags have no variables.
func (a *app) prepare(flags *pflag.FlagSet) error {
	skip := onlyFlag()
	var unused []string
	if a.etcd.Dev {
		for _, flag := range connectionFlags() {
			if flags.Changed(flag) {
				return &problem.Error{Kind: problem.Usage, What: "--dev and --" + flag + " exclude each other",
					Do: "--dev brings its own etcd. Leave one of the two out."}
			}
			skip[flag] = true
			if name, _ := a.lookup.find(flag); name != "" {
				unused = append(unused, name)
			}
		}
	}
	var err error
	if a.from, err = resolve(flags, a.lookup, skip); err != nil {
		return err
	}
	log, err := newLogger(a.stderr, a.logFormat, a.logLevel)
	if err != nil {
		a.logFormat = formatConsole // There is no log to say it in.
		return err
	}
	a.log = log
	if len(unused) > 0 {
		a.log.Info("--dev is given: these are not used", zap.Strings("environment", unused))
	}
	for flag, source := range a.from {
		if !a.from.fromFlag(flag) {
			a.log.Info("taken from the environment", zap.String("flag", "--"+flag), zap.String("variable", source))
		}
	}
	if variable := variables("dev")[0]; !a.etcd.Dev {
		if value, _ := a.lookup(variable); value != "" {
			a.log.Warn("ignored: which etcd is used must be seen on the command line, so only --dev itself chooses it",
				zap.String("variable", variable))
		}
	}
	prefix := strings.TrimRight(a.etcd.Prefix, "/")
	if prefix == "" {
		return &problem.Error{Kind: problem.Usage,
			What: fmt.Sprintf("--prefix is %q, which names no place of its own", a.etcd.Prefix),
			Do:   "Name one, such as " + defaultPrefix + ", or leave --prefix out."}
	}
	a.etcd.Prefix = prefix
	if a.etcd.Dev {
		return a.prepareDev()
	}
	return a.preparePassword()
}

func (a *app) prepareDev() error {
	if a.etcd.DevDir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return &problem.Error{Kind: problem.Usage, What: "--dev finds no cache folder",
				Do: "Name one with --dev-dir.", Err: err}
		}
		a.etcd.DevDir = filepath.Join(cache, "tenure", "dev")
	}
	dir, err := filepath.Abs(a.etcd.DevDir)
	if err != nil {
		return fmt.Errorf("find the folder of --dev: %w", err)
	}
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, to start the etcd of --dev: %w", err)
	}
	a.etcd.DevDir = dir
	a.etcd.DevCommand = []string{executable, devEtcdName, "--dir", dir, "--linger", a.devLinger.String()}
	return nil
}

// preparePassword takes the password from, in this order, --user, --password-file and the environment.
func (a *app) preparePassword() error {
	if name, password, both := strings.Cut(a.etcd.User, ":"); both {
		a.etcd.User, a.etcd.Password = name, password
		return nil
	}
	if a.passwordFile != "" {
		raw, err := os.ReadFile(a.passwordFile)
		if err != nil {
			return &problem.Error{Kind: problem.Usage, What: "--password-file cannot be read", Err: err}
		}
		a.etcd.Password = strings.TrimRight(string(raw), "\r\n")
		return nil
	}
	if a.etcd.User != "" {
		_, a.etcd.Password = a.lookup.find("password")
	}
	return nil
}

// connect opens the etcd that the flags name.
func (a *app) connect(ctx context.Context) (*cluster.Cluster, error) {
	return cluster.Connect(ctx, a.etcd, a.log)
}

// errBrokenPipe ends a command whose reader has gone, without a word.
var errBrokenPipe = errors.New("the reader of standard output has gone")

// quietStatus returns the exit status of an error that needs no words.
func quietStatus(err error) (status int, quiet bool) {
	if errors.Is(err, errStopped) {
		return exitBySignal + int(syscall.SIGINT), true
	}
	return exitBrokenPipe, errors.Is(err, errBrokenPipe)
}
