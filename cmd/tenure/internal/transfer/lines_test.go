package transfer

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tenure-go/tenure/etcdstore"
)

func billing() etcdstore.Group {
	return etcdstore.Group{FullyQualifiedNamespace: "local", EventHubName: "orders", ConsumerGroup: "billing"}
}

// What was written is read as it was, whatever the names and positions are.
func TestLinesAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringN(1, 8, -1)
		group := etcdstore.Group{
			FullyQualifiedNamespace: name.Draw(t, "namespace"), EventHubName: name.Draw(t, "hub"),
			ConsumerGroup: name.Draw(t, "group"),
		}
		s := &etcdstore.Snapshot{Group: group, Checkpoints: make(map[string]etcdstore.Checkpoint)}
		for _, id := range rapid.SliceOfDistinct(name, rapid.ID).Draw(t, "partitions") {
			c := etcdstore.Checkpoint{Group: group, PartitionID: id, OwnerID: rapid.String().Draw(t, "owner")}
			if rapid.Bool().Draw(t, "has a sequence number") {
				n := rapid.Int64().Draw(t, "sequence number")
				c.SequenceNumber = &n
			}
			if c.SequenceNumber == nil || rapid.Bool().Draw(t, "has an offset") {
				offset := rapid.String().Draw(t, "offset")
				c.Offset = &offset
			}
			s.Checkpoints[id] = c
		}
		var file bytes.Buffer
		require.NoError(t, Write(&file, s))
		read, err := Read(&file, group, false)
		require.NoError(t, err)
		require.Len(t, read, len(s.Checkpoints))
		for _, c := range read {
			require.Empty(t, cmp.Diff(s.Checkpoints[c.PartitionID], c))
		}
	})
}

// A file with a wrong line is refused as a whole, and every wrong line is named.
func TestWrongLinesAreNamed(t *testing.T) {
	t.Parallel()
	const good = `{"group":"local/orders/billing","partition":"0","sequence_number":1}`
	for wrong, want := range map[string]string{
		`{`: "no checkpoint",
		`{"group":"local/orders/billing","partition":"1"}`:                            "neither sequence_number nor offset",
		`{"group":"local/orders/billing","partition":"","offset":""}`:                 "partition is missing",
		`{"group":"local/orders/other","partition":"1","offset":""}`:                  "it is one of local/orders/other",
		`{"group":"x","partition":"1","offset":""}`:                                   "no checkpoint",
		`{"group":"local/orders/billing","partition":"1","offset":1}`:                 "no checkpoint",
		`{"group":"local/orders/billing","partition":"1","sequence_number":1.5}`:      "no checkpoint",
		`{"group":"local/orders/billing","partition":"1","offset":"","ofset":""}`:     `unknown field "ofset"`,
		`{"group":"local/orders/billing","partition":"1","offset":""} 1`:              "something follows",
		"{\"group\":\"local/orders/billing\",\"partition\":\"\xff\",\"offset\":\"\"}": "not valid UTF-8",
		good: `partition "0" stands in line 1 already`,
	} {
		_, err := Read(strings.NewReader(good+"\n\n"+wrong+"\n"), billing(), false)
		require.ErrorContains(t, err, want, wrong)
		require.ErrorContains(t, err, "line 3: ")
		var at *LineError
		require.ErrorAs(t, err, &at)
	}
	read, err := Read(strings.NewReader(`{"group":"a/b","partition":"1","offset":""}`), billing(), true)
	require.NoError(t, err)
	require.Equal(t, billing(), read[0].Group)
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"group":"local/orders/billing","partition":"0","sequence_number":1,"offset":"a"}`), false)
	f.Add([]byte("{\"group\":\"a/b\",\"partition\":\"0\",\"offset\":\"\",\"owner_id\":\"x\"}\n\n{}"), true)
	f.Fuzz(func(t *testing.T, file []byte, anyGroup bool) {
		read, err := Read(bytes.NewReader(file), billing(), anyGroup)
		if err != nil {
			require.Empty(t, read)
			return
		}
		s := &etcdstore.Snapshot{Group: billing(), Checkpoints: make(map[string]etcdstore.Checkpoint)}
		for _, c := range read {
			s.Checkpoints[c.PartitionID] = c
		}
		require.Len(t, s.Checkpoints, len(read), "each partition once")
		var again bytes.Buffer
		require.NoError(t, Write(&again, s))
		reread, err := Read(&again, billing(), false)
		require.NoError(t, err)
		require.Len(t, reread, len(read))
		for _, c := range reread {
			require.Empty(t, cmp.Diff(s.Checkpoints[c.PartitionID], c))
		}
	})
}
