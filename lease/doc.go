/*
Package lease keeps one etcd lease for a process, and knows exactly how far it can be trusted.

# Overview

Keys that a process puts with its lease vanish when it dies. That frees what it owned, but it also means that a
process which is merely cut off loses its keys while it runs, so it has to know in time, without being told. A
[Keeper] grants a lease and renews it; a [Term] is one lease's lifetime. The term ends, by this process's own clock,
before etcd can have removed the lease's keys. Then the keeper grants the next lease by itself. A term that has ended
has ended for ever, and nothing that was concluded from it (that a key is still there, that a fence holds) is valid in
the next.

	keeper, err := lease.NewKeeper(ctx, client, &lease.Options{TTL: 10 * time.Second})
	...
	term, err := keeper.Term(ctx) // waits for a term that can be trusted
	...
	_, err = client.Put(ctx, key, value, clientv3.WithLease(term.ID()))
	...
	if err := term.Err(); err != nil { // looks at the clock: ask before each use
		return err
	}

A store keeps what it owns on the keeper's lease as its [Holder]. There is one holder a keeper, because the lease is
what tells owners apart.

# States

	           grant answered                 renewal confirmed, or enough
	            by etcd                       trust left from the grant
	granting ───────────────► granted ─────────────────────────► taking over
	 ▲  ▲  ▲                     │                                  │    │
	 │  │  └─────────────────────┘                      the holder  │    │
	 │  │   lease gone; no renewal confirmed            has taken   │    │
	 │  │   for two TTLs                                over        │    │
	 │  │                                                           │    │
	 │  └───────────────────────────────────────────────────────────┼────┘
	 │      trust ran out; lease gone; cluster changed              │
	 │                                                              ▼
	 └───────────────────────────────────────────────────────── trusted
	        trust ran out; lease gone; cluster changed         (Term returns it;
	                                                            the leases before
	any state ── Close ──► closed                               it are revoked)

The first term, and every term while no holder is attached, passes "taking over" at once.

What happens in each state

  - if this process stops for a minute: Granting and granted lose nothing, since nobody has the term. A term that is
    taking over or trusted has ended when the process runs on: [Term.Err] says so at its next call, before any timer
    has fired, and [Term.Done] closes within a moment. A keeper that was closing goes on closing, and finds the lease
    gone.
  - if an answer is lost: A lost grant leaves a lease without keys, which runs out; the next grant is another. A lost
    renewal or read extends nothing, though etcd may have renewed the lease; the next attempt is under way a twelfth
    of the TTL later, and none waits for one before it. A revocation is sent again; that the lease is gone already is
    success.
  - if the lease goes (it ran out, or somebody revoked it): the next renewal's answer says so and ends the term at
    once with [ErrLeaseGone]. Until then the term is believed: revoking a lease that its owner trusts is not something
    a lease can protect from. Fences are.
  - if the leader moves: etcd gives every lease its full time again. The first renewal afterwards is not believed,
    since its answer may be the old leader's; what was learnt is remembered and the renewal sent again at once. A
    cluster that has no leader for longer than trust lasts ends the term with [ErrNoLeader] or [ErrUnreachable]. The
    keys may well still be there when the next term begins, on the old lease; the holder takes them over before that
    lease is revoked.

# The trust window

	trusted until = moment the renewal was sent + granted TTL - margin        margin: TTL/10, at least 200 ms

The lease cannot have been renewed before the renewal was sent, so it lives at least until then, less what clocks may
differ in rate, which the margin covers. The clock is read before the request. (The client library counts from the
moment when the answer arrived and looks at its deadlines every second: behind a silent network its
concurrency.Session says that it is over after the key is gone.)

Renewals are sent a third of the TTL apart, give or take a tenth of that. One that is not confirmed within a twelfth
of the TTL, or twice the time that the last one took, gets another beside it: the client spreads requests over its
endpoints, so that the next is likely to miss a member that has gone silent. A slow one is not cancelled when the next
is sent; it is when it could no longer extend trust or a later one was confirmed. When answers take so long that
renewals a third apart would be confirmed too late, they are sent closer together. A link on which even that cannot
work, because one renewal takes longer than trust lasts, gives no term at all. Failed attempts are repeated with a
jittered back-off. What they failed with is not a reason to end the term before its trust does; it is the reason that
the term gives when trust runs out.

The answer to a renewal alone extends nothing. A leader that was paused and resumed answers renewals of leases which
its successor runs, and may already have expired, for the moment that it takes to learn of it. So each renewal is
confirmed by a linearizable read sent after its answer. Three raft terms have to be the same one:

	that of the latest linearizable answer known before the renewal was sent
	that of the renewal's answer
	that of the read

The last two show that the leader which answered, if it was one, still was the leader after it had answered: raft has
one leader a term. Yet the raft term in an answer is stamped by the member that passes it on, not by the leader that
renewed: it is the term of the last entry that this member has applied when it gets the request. A member that knows
of the successor might stamp its term on what a leader of the past answered. The first of the three closes that: the
successor had been confirmed by a quorum before the renewal was sent at all. The price is one more renewal after each
change of leader.

# Clocks

Trust is judged at each use, by CLOCK_BOOTTIME on Linux, which runs on while the machine is suspended, when Go's clock
and timers stand still. Elsewhere, forward jumps of the wall clock count as elapsed time. Timers only wake the keeper;
whether trust has ended is always the clock's to say. Nothing depends on clocks of different machines showing the same
time.

# Taking over

When a term is lost, the keys on its lease are gone, or they are still there: where etcd itself was away, it gives
leases their full time again. The keeper grants the new lease first and has the holder take over what it held; then it
hands the new term out; then it revokes the old lease. So whoever gets a term from [Keeper.Term] finds the take-over
done, and nothing is taken away from under it.

# What makes a term end

  - [ErrUnreachable], [ErrNoLeader], [ErrNoSpace], [ErrPermissionDenied]: trust ran out, and this is why the last
    renewal failed. Under NOSPACE etcd renews leases as always, so nothing is given up; it grants none, so a term that
    is lost for another reason has no successor until there is space.
  - [ErrLeaseGone]: etcd said so.
  - [ErrClusterChanged]: an answer bore another cluster's id, or the revision of a linearizable answer was below one
    that was received before its request was sent: the endpoints lead to another etcd, or this one was restored from a
    backup.
  - [ErrClosed]: [Keeper.Close] was called.

# What is guaranteed, and what is not

  - A term's trust ends before etcd can remove the lease's keys because they were not renewed, whatever the network and
    the cluster's members do: silence, delay, late answers, paused leaders that answer, changes of leader. The clocks of
    this machine and of etcd's leader have to run at the same rate within the margin.
  - Not guaranteed: that etcd keeps a lease that it has renewed. A leader that was paused for longer than the lease
    lives and goes on takes it for expired, and may have its successor revoke it before it learns that there is one.
    etcd asks whether it still leads (its issue 15247), but not while its Raft loop has just run, as it has then:
    measured on etcd 3.7.3, renewed leases ended early in a quarter of such cases. The next renewal ends the term. Watch
    what matters.
  - Not guaranteed: that code notices. Between looking at Err and acting on it a process can be paused for any time.
    What must not happen after ownership is lost has to be fenced: written in an etcd transaction that compares.
  - Not guaranteed: anything about a lease that somebody else revokes, or a virtual machine that hides its pauses from
    every clock. Fences hold there too.
  - After Close has returned nil, the keys are gone. After an error they go when the lease runs out.
*/
package lease
