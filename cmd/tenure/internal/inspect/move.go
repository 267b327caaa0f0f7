package inspect

import (
	"slices"
	"strconv"
	"time"

	"github.com/tenure-go/tenure/etcdstore"
)

// Move is a change of owners.
type Move struct {
	Revision int64     `json:"revision"`
	OwnerID  string    `json:"owner_id"` // "": it became free
	At       time.Time `json:"at,omitzero"`
	Reason   string    `json:"reason,omitempty"`
}

// Moves leaves out of a partition's history what was no move: claims by who owned it already for the reason that it
// had then, such as renewals.
func Moves(history []etcdstore.Move) []Move {
	all := []Move{}
	for _, m := range history {
		move := Move{m.Revision, m.OwnerID, m.LastModifiedTime, m.Reason}
		if n := len(all); n > 0 && all[n-1].OwnerID == move.OwnerID && all[n-1].Reason == move.Reason {
			continue
		}
		all = append(all, move)
	}
	return all
}

// MoveTable shows moves, newest first.
func MoveTable(moves []Move, now time.Time) Table {
	t := Table{Head: []string{"REVISION", "AGO", "OWNER", "WHY"}}
	for _, m := range slices.Backward(moves) {
		why := m.Reason
		if m.OwnerID == "" && why == "" {
			why = "released, or the owner's lease ended"
		}
		t.Add(strconv.FormatInt(m.Revision, 10), Ago(now, m.At), orDash(m.OwnerID), why)
	}
	return t
}
