package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// patience is how long a member may take to answer.
const patience = 3 * time.Second

// members asks each member who it is.
func (e *examination) members(ctx context.Context) {
	leaders := make(map[uint64]bool)
	for _, endpoint := range e.Client.Endpoints() {
		bounded, cancel := context.WithTimeout(ctx, patience)
		status, err := e.Client.Status(bounded, endpoint)
		cancel()
		if err != nil {
			e.found(Warning, endpoint, "does not answer: "+err.Error(),
				"The others are used. See why: etcdctl endpoint status --endpoints "+endpoint)
			continue
		}
		leaders[status.Leader] = true
		e.term = max(e.term, status.RaftTerm)
		e.member(endpoint, status)
	}
	if len(leaders) > 1 || leaders[0] {
		e.found(Problem, "etcd", "its members do not agree on a leader", "See: etcdctl endpoint status --cluster. The "+
			"network between them may be cut.")
	}
}

func (e *examination) member(endpoint string, status *clientv3.StatusResponse) {
	about := fmt.Sprintf("version %s, database %s of %s, term %d", status.Version, bytes(status.DbSizeInUse),
		bytes(status.DbSizeQuota), status.RaftTerm)
	if status.DbSizeQuota == 0 { // before 3.6
		about = fmt.Sprintf("version %s, database %s, term %d", status.Version, bytes(status.DbSizeInUse), status.RaftTerm)
	}
	advice, err := e.Judge(endpoint, status.Version)
	switch {
	case err != nil:
		e.found(Problem, endpoint, err.Error(), "")
	case advice != "":
		e.found(Warning, endpoint, advice, "Upgrade etcd.")
	default:
		e.found(OK, endpoint, about, "")
	}
	for _, trouble := range status.Errors {
		do := "See: etcdctl alarm list"
		if strings.Contains(trouble, "NOSPACE") {
			do = "Free some: etcdctl compact REVISION, etcdctl defrag, then etcdctl alarm disarm; or a larger " +
				"--quota-backend-bytes."
		}
		e.found(Problem, endpoint, trouble, do)
	}
	const nearlyFull = 0.8
	if quota := float64(status.DbSizeQuota); quota > 0 && float64(status.DbSize) > nearlyFull*quota {
		e.found(Warning, endpoint,
			fmt.Sprintf("the database file is %s of %s", bytes(status.DbSize), bytes(status.DbSizeQuota)),
			"Compact and defragment it, or raise --quota-backend-bytes: at the quota nobody can claim or checkpoint.")
	}
	if status.IsLearner {
		e.found(Note, endpoint, "is a learner, and serves no requests of a fleet", "")
	}
}

func bytes(n int64) string {
	const unit = 1024
	switch {
	case n < unit*unit:
		return fmt.Sprintf("%d KiB", (n+unit-1)/unit)
	case n < unit*unit*unit:
		return fmt.Sprintf("%.1f MiB", float64(n)/unit/unit)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/unit/unit/unit)
}

// latency measures what reads and commits take.
func (e *examination) latency(ctx context.Context) {
	const samples = 10
	var reads, commits []time.Duration
	for range samples {
		bounded, cancel := context.WithTimeout(ctx, patience)
		began := time.Now()
		_, err := e.Client.Get(bounded, e.Prefix+"/", clientv3.WithKeysOnly(), clientv3.WithLimit(1))
		if err == nil {
			reads = append(reads, time.Since(began))
		}
		began = time.Now()
		if granted, err := e.Client.Grant(bounded, int64(e.TTL/time.Second)); err == nil {
			commits = append(commits, time.Since(began))
			_, _ = e.Client.Revoke(bounded, granted.ID) // It ends by itself, too.
		}
		cancel()
	}
	e.judgeLatency("a linearizable read", reads, 50*time.Millisecond, "The way to etcd is long, or it is overloaded.")
	e.judgeLatency("a commit", commits, 100*time.Millisecond,
		"etcd's disks are slow to sync, or its members far from each other: see etcd_disk_wal_fsync_duration_seconds and "+
			"etcd_network_peer_round_trip_time_seconds.")
}

func (e *examination) judgeLatency(what string, took []time.Duration, much time.Duration, why string) {
	if len(took) == 0 {
		e.found(Problem, "latency", what+" was not answered in "+patience.String(), "See the findings about etcd's members.")
		return
	}
	slices.Sort(took)
	median, longest := took[len(took)/2], took[len(took)-1]
	const precision = 10 * time.Microsecond
	text := fmt.Sprintf("%s takes %v, %v at most", what, median.Round(precision), longest.Round(precision))
	switch {
	case longest > e.TTL/6:
		e.found(Problem, "latency", text, fmt.Sprintf("%s Leases of %v are renewed with two requests every %v: a longer TTL "+
			"bears longer answers.", why, e.TTL, e.TTL/3))
	case median > much:
		e.found(Warning, "latency", text, why)
	default:
		e.found(OK, "latency", text, "")
	}
}

// leases finds out the shortest lease that etcd grants.
func (e *examination) leases(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	granted, err := e.Client.Grant(bounded, 1)
	if err != nil {
		return // it has been said that commits fail
	}
	_, _ = e.Client.Revoke(bounded, granted.ID) // It ends by itself, too.
	shortest := time.Duration(granted.TTL) * time.Second
	text := fmt.Sprintf("leases live for %v at the least", shortest)
	if shortest > e.TTL {
		e.found(Warning, "leases", fmt.Sprintf("%s, longer than --ttl %v", text, e.TTL),
			"A process that died keeps its partitions for that long. It comes from etcd's --election-timeout.")
		return
	}
	e.found(OK, "leases", text, "")
}

// transactions finds out how much a transaction may hold.
func (e *examination) transactions(ctx context.Context) {
	const enough = 128
	for ops := enough; ops > 0; ops /= 2 {
		bounded, cancel := context.WithTimeout(ctx, patience)
		reads := make([]clientv3.Op, ops)
		for i := range reads {
			reads[i] = clientv3.OpGet(e.Prefix+"/", clientv3.WithCountOnly())
		}
		_, err := e.Client.Txn(bounded).Then(reads...).Commit()
		cancel()
		switch {
		case err == nil && ops == enough:
			e.found(OK, "transactions", "hold 128 operations and more", "")
		case err == nil:
			e.found(Note, "transactions", fmt.Sprintf("hold fewer than 128 operations, and at least %d", ops),
				"Claims and checkpoints travel in smaller batches. etcd's --max-txn-ops is 128 unless set.")
		case errors.Is(err, rpctypes.ErrTooManyOps):
			continue
		}
		return // another failure has been seen by the other findings
	}
}

// elections looks whether there is another leader by now. Terms only ever rise, by one or a few with each election.
func (e *examination) elections(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := e.Client.Get(bounded, e.Prefix+"/", clientv3.WithCountOnly())
	switch {
	case err != nil:
		return // it has been said that reads fail
	case answer.Header.RaftTerm > e.term:
		e.found(Warning, "leader", fmt.Sprintf("etcd has had an election meanwhile: term %d became %d", e.term,
			answer.Header.RaftTerm), "Elections come of members that stop, of slow disks and of networks that lose heartbeats: "+
			"see etcd_server_leader_changes_seen_total. Leases live on, and renewals that were under way are repeated.")
	default:
		e.found(OK, "leader", fmt.Sprintf("the same one meanwhile; term %d, which each election raises", e.term), "")
	}
}

// permissions tries what a fleet does with its keys, by a transaction that cannot succeed: etcd asks for all
// permissions before it looks at compares. It reports whether the keys can be read.
func (e *examination) permissions(ctx context.Context) (readable bool) {
	from, to := e.Prefix+"/", clientv3.GetPrefixRangeEnd(e.Prefix+"/")
	never := clientv3.Compare(clientv3.CreateRevision(from), ">", 1<<62)
	try := func(op clientv3.Op) error {
		bounded, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		_, err := e.Client.Txn(bounded).If(never).Then(op).Commit()
		return err //nolint:wrapcheck // It is looked at right away.
	}
	read := try(clientv3.OpGet(from, clientv3.WithRange(to), clientv3.WithLimit(1)))
	write := try(clientv3.OpDelete(from, clientv3.WithRange(to)))
	denied := func(err error) bool { return errors.Is(err, rpctypes.ErrPermissionDenied) }
	who := fmt.Sprintf("user %q", e.User)
	if e.User == "" {
		who = "this user"
	}
	switch {
	case denied(read), denied(write):
		e.found(Problem, "permissions", who+" may not read and write everything under "+from,
			"As root: etcdctl role grant-permission ROLE readwrite --prefix=true "+from)
	case read != nil || write != nil:
		e.found(Problem, "permissions", fmt.Sprintf("could not be tried: %v", errors.Join(read, write)), "")
	default:
		e.found(OK, "permissions", who+" may read and write everything under "+from, "")
	}
	return read == nil
}
