// Package defects holds defects: changes of the source that break what is promised, to show that the checks would
// notice. They are texts that are put in place of others when tests are built, so that the code itself has no
// switches. One that does not fit the code any more fails its test.
package defects

import "github.com/tenure-go/tenure/integration/internal/build"

// Defect is something that the code could do wrong.
type Defect struct {
	Name  string
	Edits []build.Edit
	By    Finder // the test that finds it
}

// Finder is a test.
type Finder struct{ Package, Test string }

// The tests that find defects.
var (
	simulation = Finder{"integration/simulation", "TestSimulatedGroups"}
)

func edit(of, file, before, after string) build.Edit {
	return build.Edit{Package: of, File: file, Old: before, New: after}
}

// All returns all defects.
func All() []Defect {
	return []Defect{
		{"trust is dated from the receipt of a renewal", []build.Edit{
			edit("lease", "renew.go", `r.term.confirm(a.sent)`, `r.term.confirm(r.k.now())`),
		}, Finder{"lease", "TestTrustNeverOutlivesTheLease"}},
		{"no margin is kept for clocks that differ in rate", []build.Edit{
			edit("lease", "term.go", `return sent + t.ttl - t.margin`, `return sent + t.ttl`),
		}, simulation},
		{"renewals are not confirmed by a read", []build.Edit{
			edit("lease", "renew.go", `	before, _ := k.cluster.known()
	read, err`, `	if err == nil {
		return nil
	}
	before, _ := k.cluster.known()
	read, err`),
		}, simulation},
		{"a handler's end waits for a timer", []build.Edit{
			edit("balancer", "trust.go", `	if c.trust.lapsed() {
		c.end(ErrTrustEnded)
	}
	return c.Context.Err()`, `	return nil`),
		}, simulation},
		{"checkpoints are not fenced", []build.Edit{
			edit("etcdstore", "checkpoint.go",
				`		return []clientv3.Cmp{unchanged(f.lane.ownership, f.etag), unchanged(f.lane.checkpoint, f.chain)}`,
				`		return []clientv3.Cmp{unchanged(f.lane.checkpoint, f.chain)}`),
		}, simulation},
		{"the fence is the owner's lease", []build.Edit{
			edit("etcdstore", "checkpoint.go", `		f.etag, f.chain = t.etag, t.chain
`, `		f.etag, f.chain, f.term = t.etag, t.chain, t.term
`),
			edit("etcdstore", "checkpoint.go",
				`		return []clientv3.Cmp{unchanged(f.lane.ownership, f.etag), unchanged(f.lane.checkpoint, f.chain)}`,
				`		if f.term != nil {
			return []clientv3.Cmp{clientv3.Compare(clientv3.LeaseValue(f.lane.ownership), "=", f.term.ID())}
		}
		return []clientv3.Cmp{unchanged(f.lane.ownership, f.etag), unchanged(f.lane.checkpoint, f.chain)}`),
		}, simulation},
		{"the fence is that somebody owns the partition", []build.Edit{
			edit("etcdstore", "tenure.go", `	return unchanged(s.keys.key(o.Group, kindOwnership, o.PartitionID), etag)`,
				`	_ = etag
	return clientv3.Compare(clientv3.CreateRevision(s.keys.key(o.Group, kindOwnership, o.PartitionID)), ">", 0)`),
		}, Finder{"etcdstore", "TestConformanceOfTheSimulation"}},
		{"checkpoints are not chained", []build.Edit{
			edit("etcdstore", "checkpoint.go",
				`		return []clientv3.Cmp{unchanged(f.lane.ownership, f.etag), unchanged(f.lane.checkpoint, f.chain)}`,
				`		return []clientv3.Cmp{unchanged(f.lane.ownership, f.etag)}`),
		}, Finder{"etcdstore", "TestLateCheckpoints"}},
		{"a claim of unknown outcome counts as lost", []build.Edit{
			edit("etcdstore", "claim.go", `			failures = append(failures, out.err)
			unknown++
			c.stray = out.repeated`, `			lost++`),
		}, simulation},
		{"a claim of unknown outcome counts as won", []build.Edit{
			edit("etcdstore", "claim.go", `			failures = append(failures, out.err)
			unknown++
			c.stray = out.repeated`, `			c.won.ETag = "1"
			won = append(won, c.won)`),
		}, simulation},
		{"members do not share the set of partitions", []build.Edit{
			edit("balancer", "source.go", `	if t == nil || w.adding ||`, `	if t != nil || w.adding ||`),
		}, Finder{"balancer", "TestPartitionsGrow"}},
		{"a renewal does not compare", []build.Edit{
			edit("etcdstore", "claim.go", `	if c.avoid != "" {
		reason :=`, `	if c.renews {
		p.compares = nil
	}
	if c.avoid != "" {
		reason :=`),
		}, Finder{"etcdstore", "TestConformanceOfTheSimulation"}},
		{"what the mirror shows to be free is taken", []build.Edit{
			edit("etcdstore", "claim.go", `	if c.avoid != "" {
		reason :=`, `	if c.etag == 0 {
		p.compares = nil
	}
	if c.avoid != "" {
		reason :=`),
		}, simulation},
		{"a partition is released before its last checkpoint", []build.Edit{
			edit("balancer", "release.go", `	err := p.write(ctx, final, true)
`, `	err := w.store.Release(ctx, p.ownership)
	if err == nil {
		err = p.write(ctx, final, false)
	}
	if errors.Is(err, etcdstore.ErrOwnershipLost) {
		return nil
	}
`),
		}, simulation},
		{"a handler that does not drain is waited for", []build.Edit{
			edit("balancer", "run.go", `cutOff = time.After(m.options.DrainTimeout)`, `cutOff = nil`),
		}, simulation},
		{"a new lease is used without claiming again", []build.Edit{
			edit("etcdstore", "takeover.go", `	claims := s.claimsToKeep()
`, `	claims := s.claimsToKeep()[:0]
`),
		}, Finder{"etcdstore", "TestConformanceOfTheSimulation"}},
		{"a member with a new lease is not seen", []build.Edit{
			edit("etcdstore", "takeover.go", `	for _, p := range presences {`, `	for _, p := range presences[:0] {`),
		}, Finder{"etcdstore", "TestAPresenceIsMovedBeforeThePartitions"}},
		{"a watch that was compacted is given up", []build.Edit{
			edit("etcdstore", "feed.go", `			s.log.Warn("lost the watch, listing again"`, `			<-ctx.Done()
			s.log.Warn("lost the watch, listing again"`),
		}, Finder{"etcdstore", "TestMirrorAfterCompaction"}},
		{"handlers have no time to stop before trust ends", []build.Edit{
			edit("balancer", "trust.go", `t := &trust{term: term, grace: grace, owned: owned}`,
				`t := &trust{term: term, grace: -grace, owned: owned}`),
		}, simulation},
		{"compares travel apart from their puts", []build.Edit{
			edit("etcdstore", "batch.go", `	resp, err := s.send(ctx, all.compares, all.then, nil)
`, `	resp, err := s.send(ctx, all.compares, nil, nil)
	if err == nil && resp.Succeeded {
		resp, err = s.send(ctx, nil, all.then, nil)
	}
`),
		}, simulation},
		{"what operators say is said without a compare", []build.Edit{
			edit("etcdstore", "setcontrol.go", `[]clientv3.Cmp{unchanged(key, revision)}, all.then,`, `nil, all.then,`),
		}, Finder{"etcdstore", "TestALateControlDoesNotComeBack"}},
		{"a checkpoint that is folded is answered at once", []build.Edit{
			edit("etcdstore", "writer.go", `		f := &flight{`, `		for _, w := range folded[:len(folded)-1] {
			w.done <- nil
		}
		folded = folded[len(folded)-1:]
		f := &flight{`),
		}, simulation},
	}
}
