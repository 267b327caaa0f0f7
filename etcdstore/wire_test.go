package etcdstore

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// wireVectors is docs/wire-format-vectors.json, which implementers in other languages read too.
type wireVectors struct {
	Prefix string
	Groups []struct {
		About         string
		Namespace     string `json:"fully_qualified_namespace"`
		EventHub      string `json:"eventhub_name"`
		ConsumerGroup string `json:"consumer_group"`
		Text, Keys    string
	}
	Keys           []struct{ Group, Kind, Name, Key string }
	BadKeys        []struct{ Why, Key string } `json:"bad_keys"`
	Folded         []struct{ Name, Folded string }
	Ownerships     []valueVector[ownershipVector]
	BadOwnerships  []badValueVector `json:"bad_ownerships"`
	Checkpoints    []valueVector[checkpointVector]
	BadCheckpoints []badValueVector `json:"bad_checkpoints"`
	Members        []valueVector[memberVector]
	BadMembers     []badValueVector        `json:"bad_members"`
	Lists          []valueVector[[]string] `json:"partition_lists"`
	BadLists       []badValueVector        `json:"bad_partition_lists"`
	Controls       []struct {
		valueVector[controlVector]

		Name string
	}
	BadControls []struct {
		badValueVector

		Name string
	} `json:"bad_controls"`
}

type valueVector[R any] struct {
	About, Value string
	Canonical    bool // this is how the record is written
	Record       R
}

type badValueVector struct{ Why, Value, Field string }

type ownershipVector struct {
	OwnerID          string    `json:"owner_id"`
	LastModifiedTime time.Time `json:"last_modified_time"`
	ClaimID          string    `json:"claim_id"`
	PreviousOwner    string    `json:"previous_owner"`
	Reason           string    `json:"reason"`
}

type checkpointVector struct {
	SequenceNumber   *string   `json:"sequence_number"`
	Offset           *string   `json:"offset"`
	OwnerID          string    `json:"owner_id"`
	LastModifiedTime time.Time `json:"last_modified_time"`
	WriteID          string    `json:"write_id"`
}

type memberVector struct {
	OwnerID   string    `json:"owner_id"`
	Instance  string    `json:"instance"`
	Weight    int       `json:"weight"`
	Capacity  int       `json:"capacity"`
	Version   int       `json:"version"`
	StartedAt time.Time `json:"started_at"`
	Leaving   bool      `json:"leaving"`
}

type controlVector struct {
	OwnerID   string    `json:"owner_id"`
	Reason    string    `json:"reason"`
	SetBy     string    `json:"set_by"`
	SetAt     time.Time `json:"set_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (v checkpointVector) record(tb testing.TB) checkpointRecord {
	tb.Helper()
	r := checkpointRecord{
		Offset: v.Offset, OwnerID: v.OwnerID, LastModifiedTime: v.LastModifiedTime, WriteID: v.WriteID,
	}
	if v.SequenceNumber != nil {
		n, err := strconv.ParseInt(*v.SequenceNumber, 10, 64)
		require.NoError(tb, err)
		r.SequenceNumber = &n
	}
	return r
}

func readVectors(tb testing.TB) (v wireVectors) {
	tb.Helper()
	text, err := os.ReadFile("../docs/wire-format-vectors.json")
	require.NoError(tb, err)
	require.NoError(tb, json.Unmarshal(text, &v))
	return v
}

func TestVectorsOfKeys(t *testing.T) {
	t.Parallel()
	vectors := readVectors(t)
	k, err := newKeyspace(vectors.Prefix)
	require.NoError(t, err)

	require.NotEmpty(t, vectors.Groups)
	for _, v := range vectors.Groups {
		g := Group{FullyQualifiedNamespace: v.Namespace, EventHubName: v.EventHub, ConsumerGroup: v.ConsumerGroup}
		require.NoError(t, validateGroup(g), v.About)
		require.Equal(t, v.Keys, k.group(g), v.About)
		require.Equal(t, v.Text, g.String(), v.About)
		parsed, err := ParseGroup(v.Text)
		require.NoError(t, err, v.About)
		require.Equal(t, g, parsed, v.About)
	}

	require.NotEmpty(t, vectors.Keys)
	for _, v := range vectors.Keys {
		g, err := ParseGroup(v.Group)
		require.NoError(t, err, v.Key)
		require.Equal(t, v.Key, k.key(g, kind(v.Kind), v.Name))
		parsed, kd, name, err := k.parse(v.Key)
		require.NoError(t, err, v.Key)
		require.Equal(t, g, parsed, v.Key)
		require.Equal(t, kind(v.Kind), kd, v.Key)
		require.Equal(t, v.Name, name, v.Key)
	}

	require.NotEmpty(t, vectors.BadKeys)
	for _, v := range vectors.BadKeys {
		g, kd, name, err := k.parse(v.Key)
		require.Error(t, err, "%s: %s", v.Why, v.Key)
		require.Zero(t, g, v.Key)
		require.Empty(t, kd, v.Key)
		require.Empty(t, name, v.Key)
	}

	require.NotEmpty(t, vectors.Folded)
	for _, v := range vectors.Folded {
		folded := Group{FullyQualifiedNamespace: v.Name, EventHubName: v.Name, ConsumerGroup: v.Name}.Fold()
		require.Equal(t, Group{FullyQualifiedNamespace: v.Folded, EventHubName: v.Folded, ConsumerGroup: v.Folded}, folded)
		require.Equal(t, folded, folded.Fold())
	}
}

func TestVectorsOfOwnerships(t *testing.T) {
	t.Parallel()
	vectors := readVectors(t)
	requireValues(t, vectors.Ownerships, decodeOwnership, ownershipRecord.encode, func(v ownershipVector) ownershipRecord {
		return ownershipRecord(v)
	})
	requireBadValues(t, vectors.BadOwnerships, decodeOwnership)
}

func TestVectorsOfCheckpoints(t *testing.T) {
	t.Parallel()
	vectors := readVectors(t)
	requireValues(t, vectors.Checkpoints, decodeCheckpoint, checkpointRecord.encode,
		func(v checkpointVector) checkpointRecord { return v.record(t) })
	requireBadValues(t, vectors.BadCheckpoints, decodeCheckpoint)
}

func TestVectorsOfMembers(t *testing.T) {
	t.Parallel()
	vectors := readVectors(t)
	requireValues(t, vectors.Members, decodeMember, Member.encode, func(v memberVector) Member { return Member(v) })
	requireBadValues(t, vectors.BadMembers, decodeMember)
}

func TestVectorsOfPartitionLists(t *testing.T) {
	t.Parallel()
	vectors := readVectors(t)
	requireValues(t, vectors.Lists, decodePartitions, encodePartitions, func(ids []string) []string { return ids })
	requireBadValues(t, vectors.BadLists, decodePartitions)
}

func TestVectorsOfControls(t *testing.T) {
	t.Parallel()
	vectors := readVectors(t)
	require.NotEmpty(t, vectors.Controls)
	for _, v := range vectors.Controls {
		requireValues(t, []valueVector[controlVector]{v.valueVector}, decodeControl, Control.encode,
			func(v controlVector) Control { return Control(v) })
		controls := newControls()
		require.NoError(t, controls.set(v.Name, []byte(v.Value)), v.About)
		require.NotEmpty(t, cmp.Diff(newControls(), controls), v.About)
		word, names := splitControl(v.Name)
		require.Equal(t, v.Name, controlName(word, names...), v.About)
		controls.remove(v.Name)
		require.Empty(t, cmp.Diff(newControls(), controls), v.About)
	}
	require.NotEmpty(t, vectors.BadControls)
	for _, v := range vectors.BadControls {
		controls := newControls()
		requireFieldError(t, v.badValueVector, controls.set(v.Name, []byte(v.Value)))
		require.Empty(t, cmp.Diff(newControls(), controls), v.Why)
	}
}

// requireValues checks that values are read as the vectors say, and written so where that is their one form.
func requireValues[V, R any](
	t *testing.T, vectors []valueVector[V], decode func([]byte) (R, error), encode func(R) []byte, record func(V) R,
) {
	t.Helper()
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		want := record(v.Record)
		got, err := decode([]byte(v.Value))
		require.NoError(t, err, v.About)
		require.Empty(t, cmp.Diff(want, got), v.About)
		if v.Canonical {
			require.Equal(t, v.Value, string(encode(want)), v.About)
		}
		got, err = decode(encode(want))
		require.NoError(t, err, v.About)
		require.Empty(t, cmp.Diff(want, got), v.About)
	}
}

// requireBadValues checks that values are refused, naming the field.
func requireBadValues[R any](t *testing.T, vectors []badValueVector, decode func([]byte) (R, error)) {
	t.Helper()
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		got, err := decode([]byte(v.Value))
		requireFieldError(t, v, err)
		require.Zero(t, got, v.Why)
	}
}

func requireFieldError(tb testing.TB, v badValueVector, err error) {
	tb.Helper()
	var field *fieldError
	require.ErrorAs(tb, err, &field, "%s: %s", v.Why, v.Value)
	require.Equal(tb, v.Field, field.Field, "%s: %s: %v", v.Why, v.Value, err)
}
