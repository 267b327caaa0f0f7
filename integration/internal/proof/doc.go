// Package proof checks what has been recorded of a group against what is promised of it. It reads etcd's own history,
// without the code under test, and what members and callers report of what they began and were answered; all times are
// of one clock.
//
// Each check has a name and returns what it has found wrong. A check that finds nothing has to have had something to
// look at: see [Account].
package proof
