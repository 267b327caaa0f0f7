/*
Package shim runs a program that does not outlive a deadline, whatever becomes of the process that started it.

# Overview

The one who starts the program, its supervisor, calls [Start]. That runs the shim, which is the supervisor's own
executable again with [Main] for its work, and the shim runs the program:

	supervisor ──── trust, term, release ───► shim ───────────► program, leads a process group
	           ◄─── started, ended, status ──  (own group)      └─ its children

The supervisor tells the shim until when the program may run and moves that deadline on while it can ([Process.Trust]).
When the deadline comes, the shim kills the program's process group with SIGKILL. It needs nobody for that: a
supervisor that was stopped, killed or cut off moves no deadline.

# Clocks

A deadline is a reading of [Now]: CLOCK_BOOTTIME on Linux, which all processes of one machine read alike and which runs
on while the machine is suspended. The shim's timer runs by the same clock, so it is due at once when a machine wakes up
after the deadline. On macOS it is CLOCK_MONOTONIC_RAW, which runs on during sleep too; a timer of Go's stands still
there, so the clock is looked at ten times a second.

# States

	          started                    ended by itself,           release, deadline,
	starting ─────────► running ─────────by a signal or ──► ended ──supervisor gone ───► gone
	    │                  │             by the shim          the rest of the group is    its status
	    │ cannot be        │                                  there, the program is not   is reported
	    ▼ started          │ the supervisor is gone           reaped: its process group
	  gone                 ▼                                  is no other's
	                 SIGTERM, once; one that had been
	                 asked to end before: SIGKILL

The program is reaped last, after what is left of its process group has been killed. Until then no other process can
have its id, so no signal ever goes to a stranger.

# Failures

  - The supervisor is stopped, or too busy: the last deadline stands.
  - The supervisor dies: the program gets SIGTERM, since nobody hears it any more, and SIGKILL at the last deadline. One
    that had been sent SIGTERM before is killed at once.
  - The shim is killed: the kernel kills the program (on Linux), and the supervisor the program's process group.
  - The shim is stopped: the supervisor kills the program's process group, and then the shim.
  - The shim and the supervisor are both killed: the program dies with the shim on Linux. Its children live on.
  - The shim is killed or stopped between starting the program and telling the supervisor its process id: likewise.

# Not covered

A process that leaves the program's process group, as a daemon does, lives on after it.
*/
package shim
