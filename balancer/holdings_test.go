package balancer

import (
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tenure-go/tenure/etcdstore"
)

// holdingsModel has all records that there are beside what is kept of their changes.
type holdingsModel struct {
	kept       *holdings
	records    map[string]etcdstore.Ownership
	partitions []string
	index      map[string]int
	last       map[string]string // who was last seen to own a partition
	revision   int
}

const modelPartitions = 12

func (m *holdingsModel) now() time.Time { return time.Unix(int64(m.revision), 0) }

// Rearrange lists other partitions.
func (m *holdingsModel) Rearrange(t *rapid.T) {
	before := m.partitions
	m.partitions, m.index = nil, make(map[string]int)
	for n := range modelPartitions {
		if rapid.Bool().Draw(t, "listed") {
			id := strconv.Itoa(n)
			m.index[id] = len(m.partitions)
			m.partitions = append(m.partitions, id)
		}
	}
	maps.DeleteFunc(m.last, func(id, _ string) bool { _, listed := m.index[id]; return !listed })
	m.kept.arrange(before, m.partitions, m.index, m.now())
	m.seeOwners()
}

// Change puts and deletes records between two looks.
func (m *holdingsModel) Change(t *rapid.T) {
	changed, gone := make(map[string]etcdstore.Ownership), []string(nil)
	for _, n := range rapid.SliceOfDistinct(rapid.IntRange(0, modelPartitions-1), rapid.ID[int]).Draw(t, "partitions") {
		id := strconv.Itoa(n)
		if rapid.Bool().Draw(t, "deleted") {
			delete(m.records, id)
			gone = append(gone, id)
			continue
		}
		m.revision++
		m.records[id] = etcdstore.Ownership{
			PartitionID: id, ETag: strconv.Itoa(m.revision),
			OwnerID: rapid.SampledFrom([]string{"", "me", "a", "b", "c"}).Draw(t, "owner"),
		}
		changed[id] = m.records[id]
	}
	m.seeOwners()
	m.kept.takeIn(changed, gone, false, m.partitions, m.index, m.now())
}

// List has all records told anew.
func (m *holdingsModel) List(t *rapid.T) {
	for id := range m.records {
		if rapid.Bool().Draw(t, "deleted") {
			delete(m.records, id)
		}
	}
	m.kept.takeIn(m.records, nil, true, m.partitions, m.index, m.now())
}

// Renumber forgets owners.
func (m *holdingsModel) Renumber(*rapid.T) { m.kept.renumber() }

func (m *holdingsModel) seeOwners() {
	for _, id := range m.partitions {
		if owner := m.records[id].OwnerID; owner != "" {
			m.last[id] = owner
		}
	}
}

// Check compares what is kept with what there is.
func (m *holdingsModel) Check(t *rapid.T) {
	owned := make(map[string]int)
	for id, r := range m.records {
		owned[r.OwnerID]++
		s := &slot{id: id, place: -1}
		if i, listed := m.index[id]; listed {
			s.place = i
		}
		etag, owner := m.kept.etag(s)
		require.Equal(t, r.ETag, etag)
		require.Equal(t, r.OwnerID, owner)
	}
	for n, id := range m.kept.ids {
		require.Equal(t, owned[id], m.kept.owned[n], "of %q", id)
	}
	for i, id := range m.partitions {
		owner := m.records[id].OwnerID
		require.Equal(t, m.records[id].ETag, m.kept.etags[i])
		require.Equal(t, m.last[id], m.kept.ids[m.kept.last[i]])
		require.Equal(t, owner == "", !m.kept.freeSince[i].IsZero(), "whether %s is free", id)
	}
}

// TestHoldings compares what is kept of changes with all that there is, while partitions come and go as well.
func TestHoldings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &holdingsModel{
			kept: newHoldings("me"), records: make(map[string]etcdstore.Ownership), last: make(map[string]string),
		}
		t.Repeat(map[string]func(*rapid.T){
			"rearrange": m.Rearrange, "change": m.Change, "list": m.List, "renumber": m.Renumber, "": m.Check,
		})
	})
}
