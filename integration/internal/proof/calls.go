package proof

import (
	"math"
	"strconv"
	"time"

	"github.com/tenure-go/tenure/integration/internal/member"
)

// linearizeFor is how long a partition's calls may take to be put in order.
const linearizeFor = 2 * time.Minute

// never is when a call returns that does not.
const never = time.Duration(math.MaxInt64)

// call is a caller's call, as far as it is about one partition.
type call struct {
	*member.Call

	caller       string
	began, ended time.Duration
	gaveUp       time.Duration // when the caller did, without an outcome
	outcome      string
	etag, won    int64
	listed       member.Listed
	wrote        bool // etcd's history has what it wanted to write
}

// CallAccount is what callers have done.
type CallAccount struct{ Calls, Won, Lost, Written, Refused, Unknown, TakenOver, Strays, Expired int }

// Add adds what is in b.
func (a *CallAccount) Add(b CallAccount) {
	a.Calls += b.Calls
	a.Won += b.Won
	a.Lost += b.Lost
	a.Written += b.Written
	a.Refused += b.Refused
	a.Unknown += b.Unknown
	a.TakenOver += b.TakenOver
	a.Strays += b.Strays
	a.Expired += b.Expired
}

// CheckCalls checks the calls that callers have made on stores of a group in which nobody else did anything: that there
// is one order of all of them, and of what leases and take-overs did, in which each call happens between its beginning
// and its return, in etcd's own order, and was answered what was then true. Of calls whose outcome is unknown etcd's
// history tells whether they were applied, which may be any time later.
func CheckCalls(run Run) (CallAccount, Violations) {
	var account CallAccount
	var found Violations
	for _, gap := range run.Gaps {
		found = append(found, Violation{Gapless, gap})
	}
	calls := callsOf(run, &account)
	changes := make(map[string][]Change)
	for _, c := range run.Changes {
		changes[c.Partition] = append(changes[c.Partition], c)
	}
	for _, id := range run.Partitions {
		l := &ledger{id: id, calls: calls[id], changes: changes[id], account: &account}
		l.check()
		found = append(found, l.violations...)
	}
	return account, found
}

// callsOf returns the calls by partition. A listing is one of each.
func callsOf(run Run, account *CallAccount) map[string][]*call {
	calls := make(map[string][]*call)
	for name, reports := range run.Reports {
		open := make(map[int64]*call)
		add := func(r member.Report) {
			account.Calls++
			c := call{Call: r.Call, caller: name, began: r.Began, ended: r.At, outcome: r.Outcome}
			c.etag, _ = strconv.ParseInt(r.Call.ETag, 10, 64)
			c.won, _ = strconv.ParseInt(r.Call.Won, 10, 64)
			if c.outcome == member.OutcomeUnknown {
				account.Unknown++
				c.gaveUp, c.ended = c.ended, never
			}
			if c.Partition != "" {
				calls[c.Partition] = append(calls[c.Partition], &c)
				return
			}
			for _, id := range run.Partitions {
				one := c
				one.listed = r.Call.Listed[id]
				calls[id] = append(calls[id], &one)
			}
		}
		for _, r := range reports {
			switch r.Kind {
			case member.Calling:
				open[r.Call.ID] = &call{Call: r.Call, began: r.At}
			case member.Called:
				delete(open, r.Call.ID)
				add(r)
			default:
			}
		}
		for _, c := range open { // the process was killed
			add(member.Report{Call: c.Call, Began: c.began, Outcome: member.OutcomeUnknown})
		}
	}
	return calls
}
