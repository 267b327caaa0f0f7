package main

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/spf13/pflag"

	"github.com/tenure-go/tenure/cmd/tenure/internal/consume"
	"github.com/tenure-go/tenure/cmd/tenure/internal/filestream"
	"github.com/tenure-go/tenure/etcdstore"
)

// What --source and --balancer take.
const (
	sourceHub      = "eventhubs"
	sourceFiles    = "files:" // and a folder
	balancerNative = "native"
	balancerSDK    = "sdk"
)

// consumeFlags are the command's own.
type consumeFlags struct {
	memberFlags

	source   string
	balancer string

	hub                  consume.Hub
	connectionStringFile string
	groupText            string // of --source files:DIR
	group                etcdstore.Group

	from               string
	checkpointCount    int
	checkpointInterval time.Duration

	updateInterval time.Duration
	strategy       string

	given func(flag string) bool // on the command line
}

func (f *consumeFlags) define(flags *pflag.FlagSet) {
	flags.StringVar(&f.source, "source", sourceHub,
		"where events come from: eventhubs, or files:DIR, each file of the folder being a partition")
	flags.StringVar(&f.balancer, "balancer", balancerNative,
		"who shares the partitions out: native, or sdk, the Event Hubs SDK's Processor")
	f.defineOwner(flags)
	flags.StringVar(&f.from, "from", "earliest",
		"where partitions without a checkpoint begin: earliest, latest, offset:N, sequence:N, or a `time` (RFC 3339)")
	flags.IntVar(&f.checkpointCount, "checkpoint-count", 1000, "checkpoint a partition after this many events")
	flags.DurationVar(&f.checkpointInterval, "checkpoint-interval", 5*time.Second,
		"checkpoint a partition this long after an event that is not covered")

	flags.StringVar(&f.groupText, "group", "", "files: "+groupUsage)

	flags.StringVar(&f.connectionStringFile, "connection-string-file", "",
		"eventhubs: `file` that holds the connection string")
	flags.StringVar(&f.hub.Namespace, "namespace", "",
		"eventhubs: `host` name of the namespace, to log in with this machine's Azure identity")
	flags.StringVar(&f.hub.EventHub, "event-hub", "",
		"eventhubs: `name` of the event hub (default: the connection string's EntityPath)")
	flags.StringVar(&f.hub.ConsumerGroup, "consumer-group", azeventhubs.DefaultConsumerGroup,
		"eventhubs: `name` of the consumer group")

	f.defineShare(flags, "native: ", 10*time.Second, "be printed and checkpointed before it is cut off")

	flags.DurationVar(&f.updateInterval, "update-interval", 10*time.Second,
		"sdk: how often partitions are claimed and renewed (times 0.8 to 1.3)")
	flags.StringVar(&f.strategy, "strategy", string(azeventhubs.ProcessorStrategyBalanced),
		"sdk: balanced takes one partition a round of --update-interval: 32 partitions take a lone consumer some five "+
			"minutes; greedy takes all at once")
	f.given = flags.Changed
}

// folder returns the folder of --source files:DIR.
func (f *consumeFlags) folder() (path string, files bool) {
	return strings.CutPrefix(f.source, sourceFiles)
}

// check reports all that is wrong with the flags together.
func (f *consumeFlags) check() error {
	p := &problems{given: f.given}
	folder, files := f.folder()
	switch {
	case files:
		f.checkFiles(p, folder)
	case f.source == sourceHub:
		f.checkHub(p)
	default:
		p.addf("--source must be eventhubs or files:DIR, not %q%s", f.source, didYouMeanFiles(f.source))
	}
	switch f.balancer {
	case balancerNative:
		f.checkNative(p)
	case balancerSDK:
		p.wantf(!files, "--balancer sdk reads event hubs only; leave it out for --source files:DIR")
		f.checkSDK(p)
	default:
		p.addf("--balancer must be native or sdk, not %q", f.balancer)
	}
	f.checkOwner(p)
	p.wantf(f.checkpointCount > 0, "--checkpoint-count must be at least 1, not %d", f.checkpointCount)
	p.wantf(f.checkpointInterval > 0, "--checkpoint-interval must be above 0, not %v", f.checkpointInterval)
	return p.err()
}

func (f *consumeFlags) checkFiles(p *problems, folder string) {
	p.only("for --source eventhubs", "connection-string-file", "namespace", "event-hub", "consumer-group")
	p.wantf(folder != "", "--source files: names no folder; write files:DIR, such as files:./orders")
	_, err := filestream.ParseStart(f.from)
	p.wantf(err == nil, "--from: %w", err)
	if f.groupText == "" {
		p.addf("--group is needed with --source files:DIR, for the processes that share the files to find each other by, " +
			"such as --group orders/billing")
		return
	}
	f.group = p.group(f.groupText)
}

func (f *consumeFlags) checkHub(p *problems) {
	p.only("for --source files:DIR; an event hub's is given by --namespace, --event-hub and --consumer-group", "group")
	_, err := consume.ParsePosition(f.from)
	p.wantf(err == nil, "--from: %w", err)
	p.wantf(f.hub.ConsumerGroup != "", "--consumer-group is empty")
}

func (f *consumeFlags) checkNative(p *problems) {
	p.only("for --balancer sdk", "strategy", "update-interval")
	f.checkShare(p)
}

func (f *consumeFlags) checkSDK(p *problems) {
	p.only("for --balancer native", "weight", "capacity", "grace", "drain-timeout")
	p.wantf(f.updateInterval > 0, "--update-interval must be above 0, not %v", f.updateInterval)
	strategies := []azeventhubs.ProcessorStrategy{
		azeventhubs.ProcessorStrategyBalanced, azeventhubs.ProcessorStrategyGreedy,
	}
	p.wantf(slices.Contains(strategies, azeventhubs.ProcessorStrategy(f.strategy)),
		"--strategy must be balanced or greedy, not %q", f.strategy)
}

// didYouMeanFiles helps who gives a folder alone.
func didYouMeanFiles(source string) string {
	if info, err := os.Stat(source); err != nil || !info.IsDir() {
		return ""
	}
	return "; did you mean files:" + source + "?"
}
