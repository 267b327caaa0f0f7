package blobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/azurite"
	"github.com/tenure-go/tenure/integration/internal/build"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// The names as a program gives them, and as most clients write them.
const (
	namespace = "Example.servicebus.windows.net"
	hub       = "Orders"
	consumers = "$Default"
	group     = namespace + "/" + hub + "/" + consumers
	folded    = "example.servicebus.windows.net/orders/$default"
)

// world is an Azurite and an etcd, and the command between them.
type world struct {
	*azurite.Server

	t          *testing.T
	etcd       string
	command    string
	containers int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Server: azurite.Start(t), t: t, etcd: strings.Join(etcdtest.Start(t).Endpoints(), ",")}
	var err error
	w.command, err = build.Command(t.TempDir(), "cmd/tenure")
	require.NoError(t, err)
	return w
}

// storage is a container, seen by its clients.
type storage struct {
	*container.Client

	w    *world
	name string
	goes *checkpoints.BlobStore // the client for Go
}

func (w *world) container() *storage {
	w.t.Helper()
	w.containers++
	s := &storage{w: w, name: fmt.Sprintf("checkpoints-%d", w.containers)}
	var err error
	s.Client, err = container.NewClientFromConnectionString(w.ConnectionString(), s.name, nil)
	require.NoError(w.t, err)
	_, err = s.Create(w.t.Context(), nil)
	require.NoError(w.t, err)
	s.goes, err = checkpoints.NewBlobStore(s.Client, nil)
	require.NoError(w.t, err)
	return s
}

// put puts a blob with metadata, as clients do that do not run here.
func (s *storage) put(name string, metadata map[string]string) {
	s.w.t.Helper()
	pointers := make(map[string]*string)
	for key, value := range metadata {
		pointers[key] = &value
	}
	_, err := s.NewBlockBlobClient(name).Upload(s.w.t.Context(), streaming.NopCloser(bytes.NewReader(nil)),
		&blockblob.UploadOptions{Metadata: pointers})
	require.NoError(s.w.t, err)
}

// goCheckpoint is one of the client for Go.
func goCheckpoint(partition string, sequence int64, offset string) azeventhubs.Checkpoint {
	return azeventhubs.Checkpoint{
		FullyQualifiedNamespace: namespace, EventHubName: hub, ConsumerGroup: consumers, PartitionID: partition,
		SequenceNumber: &sequence, Offset: &offset,
	}
}

// javascript runs the client for JavaScript.
func (s *storage) javascript(args ...string) []byte {
	s.w.t.Helper()
	command := exec.Command(s.w.Node, append([]string{"store.js", s.w.ConnectionString(), s.name}, args...)...)
	command.Dir = s.w.Clients
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	require.NoError(s.w.t, err, "%s", &stderr)
	return out
}

// result is what the command has come to.
type result struct {
	out, log string
	failed   bool
}

// tenure runs the command, with the key of the storage account or without.
func (s *storage) tenure(withKey bool, args ...string) result {
	s.w.t.Helper()
	command := exec.Command(s.w.command, append(args, "--endpoints", s.w.etcd)...)
	command.Env = append(os.Environ(), "AZURE_STORAGE_CONNECTION_STRING=")
	if withKey {
		command.Env = append(command.Env, "AZURE_STORAGE_CONNECTION_STRING="+s.w.ConnectionString())
	}
	var out, log bytes.Buffer
	command.Stdout, command.Stderr = &out, &log
	err := command.Run()
	require.NotContains(s.w.t, log.String(), azurite.Key, "a key was shown")
	return result{out.String(), log.String(), err != nil}
}

func (s *storage) done(withKey bool, args ...string) string {
	s.w.t.Helper()
	r := s.tenure(withKey, args...)
	require.False(s.w.t, r.failed, "%v: %s", args, r.log)
	return r.out
}

// positions are a group's checkpoints as the command shows them.
func (s *storage) positions() map[string]string {
	s.w.t.Helper()
	var all []struct {
		Partition      string
		SequenceNumber *int64 `json:"sequence_number"`
		Offset         *string
	}
	require.NoError(s.w.t, json.Unmarshal([]byte(s.done(false, "checkpoint", "list", group, "-o", "json")), &all))
	positions := make(map[string]string)
	for _, c := range all {
		sequence, offset := "-", "-"
		if c.SequenceNumber != nil {
			sequence = strconv.FormatInt(*c.SequenceNumber, 10)
		}
		if c.Offset != nil {
			offset = *c.Offset
		}
		positions[c.Partition] = sequence + " " + offset
	}
	return positions
}

// Checkpoints of all clients come to etcd as they are, and go back where the clients find them.
func TestCheckpointsComeFromBlobStorageAndGoBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.container()
	for _, c := range []azeventhubs.Checkpoint{goCheckpoint("0", 41, "8589934592"), goCheckpoint("10", 7, "@0000AB:12")} {
		require.NoError(t, s.goes.SetCheckpoint(t.Context(), c, nil))
	}
	s.javascript("write", fmt.Sprintf(`[{"fullyQualifiedNamespace":%q,"eventHubName":%q,"consumerGroup":%q,
		"partitionId":"2","sequenceNumber":812,"offset":"1234"}]`, namespace, hub, consumers))
	// .NET twice, Python, and Java as it once was.
	s.put(folded+"/checkpoint/3", map[string]string{"offset": "55", "sequencenumber": "5", "clientidentifier": "x"})
	s.put(folded+"/checkpoint/4", map[string]string{"offset": "66", "sequencenumber": ""})
	s.put(folded+"/checkpoint/5", map[string]string{"offset": "None", "sequencenumber": "6"})
	s.put(group+"/checkpoint/6", map[string]string{"Offset": "77", "SequenceNumber": "7"})
	s.put(folded+"/ownership/3", map[string]string{"ownerid": "processor-1"})
	s.put(folded+"/ownership/4", map[string]string{"ownerid": ""})
	s.put("other.example/orders/$default/checkpoint/3", map[string]string{"offset": "1", "sequencenumber": "1"})
	s.put("something-else", nil)
	wanted := map[string]string{
		"0": "41 8589934592", "10": "7 @0000AB:12", "2": "812 1234", "3": "5 55", "4": "- 66", "5": "6 -", "6": "7 77",
	}

	dry := s.tenure(true, "checkpoint", "import", group, "--from-blob", s.URL(), "--dry-run")
	require.False(t, dry.failed, dry.log)
	require.Regexp(t, `(?m)^10 +- +sequence:7 offset:@0000AB:12 +nobody +set$`, dry.out)
	require.Contains(t, dry.log, "processor-1", "the log warns of who may still write")
	require.True(t, s.tenure(false, "checkpoint", "list", group).failed, "there is nothing yet")
	require.Contains(t, s.done(true, "checkpoint", "import", group, "--from-blob", s.URL()), "7 checkpoints were written")
	require.Equal(t, wanted, s.positions())
	require.Contains(t, s.done(true, "checkpoint", "import", group, "--from-blob", s.URL()), "7 were so already")

	// What clients could not read is not written.
	refused := s.tenure(true, "checkpoint", "export", group, "--to-blob", s.URL())
	require.True(t, refused.failed)
	require.Contains(t, refused.log, `the checkpoint of partition "4" has no sequence number`)
	require.Contains(t, refused.log, `the checkpoint of partition "5" has no offset`)
	s.done(false, "checkpoint", "delete", group, "4", "5")
	delete(wanted, "4")
	delete(wanted, "5")

	// And back: another container, to see what is written; then on top of what is there.
	back := w.container()
	require.Regexp(t, `(?m)^2 +- +sequence:812 offset:1234$`,
		back.done(true, "checkpoint", "export", group, "--to-blob", back.URL(), "--dry-run"))
	require.Empty(t, back.read(namespace, hub, consumers), "nothing was written")
	for range 2 {
		written := back.done(true, "checkpoint", "export", group, "--to-blob", back.URL())
		require.Contains(t, written, "5 checkpoints were written")
	}
	var read []struct {
		PartitionID    string
		SequenceNumber int64
		Offset         string
	}
	require.NoError(t, json.Unmarshal(back.javascript("read", namespace, hub, consumers), &read))
	found := make(map[string]string)
	for _, c := range read {
		found[c.PartitionID] = fmt.Sprint(c.SequenceNumber, " ", c.Offset)
	}
	require.Equal(t, wanted, found, "by the client for JavaScript")
	lower := strings.Split(folded, "/")
	require.Equal(t, wanted, back.read(lower[0], lower[1], lower[2]), "by the client for Go, in lower case")
	back.done(true, "checkpoint", "export", group, "--to-blob", back.URL(), "--exact-names")
	require.Equal(t, wanted, back.read(namespace, hub, consumers), "by the client for Go, which does not change names")
}

// read reads checkpoints with the client for Go.
func (s *storage) read(namespace, hub, consumers string) map[string]string {
	s.w.t.Helper()
	all, err := s.goes.ListCheckpoints(s.w.t.Context(), namespace, hub, consumers, nil)
	require.NoError(s.w.t, err)
	positions := make(map[string]string)
	for _, c := range all {
		positions[c.PartitionID] = fmt.Sprint(*c.SequenceNumber, " ", *c.Offset)
	}
	return positions
}

// What cannot be taken is named, and nothing is done.
func TestWrongBlobsAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.container()
	s.put(folded+"/checkpoint/0", map[string]string{"offset": "1", "sequencenumber": "1"})
	s.put(folded+"/checkpoint/1", map[string]string{"offset": "", "sequencenumber": ""})
	s.put(folded+"/checkpoint/2", map[string]string{"offset": "1", "sequencenumber": "one"})
	s.put(group+"/checkpoint/0", map[string]string{"offset": "2", "sequencenumber": "2"})
	r := s.tenure(true, "checkpoint", "import", group, "--from-blob", s.URL())
	require.True(t, r.failed)
	for _, want := range []string{
		"nothing was done",
		folded + `/checkpoint/1": its metadata have neither sequencenumber nor offset`,
		folded + `/checkpoint/2": its sequencenumber is "one": want a decimal number`,
		"is of the same partition, and has another position",
	} {
		require.Contains(t, r.log, want)
	}
	require.True(t, s.tenure(false, "checkpoint", "list", group).failed)

	other := s.tenure(true, "checkpoint", "import", "a.example/invoices/$Default", "--from-blob", s.URL())
	require.True(t, other.failed)
	require.Contains(t, other.log, "the container has no checkpoints of a.example/invoices/$default")
	require.Contains(t, other.log, "It has those of "+folded)
	missing := s.tenure(true, "checkpoint", "import", group, "--from-blob", s.URL()+"-not")
	require.Contains(t, missing.log, "there is no container")
	wrong := s.tenure(true, "checkpoint", "import", group, "--from-blob", "checkpoints")
	require.Contains(t, wrong.log, "want the URL of a container")
	elsewhere := s.tenure(true, "checkpoint", "import", group, "--from-blob", "https://a.blob.core.windows.net/b")
	require.Contains(t, elsewhere.log, "AZURE_STORAGE_CONNECTION_STRING is for")
}

// A SAS token says who may do what, and is never shown.
func TestASASTokenIsEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.container()
	require.NoError(t, s.goes.SetCheckpoint(t.Context(), goCheckpoint("0", 1, "2"), nil))
	token := func(may sas.ContainerPermissions) (string, string) {
		address, err := s.GetSASURL(may, time.Now().Add(time.Hour), nil)
		require.NoError(t, err)
		_, signature, found := strings.Cut(address, "sig=")
		require.True(t, found)
		return address, signature
	}
	reading, secret := token(sas.ContainerPermissions{Read: true, List: true})
	s.done(false, "checkpoint", "import", group, "--from-blob", reading)
	require.Equal(t, map[string]string{"0": "1 2"}, s.positions())
	denied := s.tenure(false, "checkpoint", "export", group, "--to-blob", reading)
	require.True(t, denied.failed)
	require.Contains(t, denied.log, "is denied")
	require.NotContains(t, denied.log, secret)
	writing, _ := token(sas.ContainerPermissions{Read: true, List: true, Write: true, Create: true})
	s.done(false, "checkpoint", "export", group, "--to-blob", writing)
	require.Equal(t, new("1"), s.metadata(folded + "/checkpoint/0")["Sequencenumber"])
}

func (s *storage) metadata(name string) map[string]*string {
	s.w.t.Helper()
	properties, err := s.NewBlobClient(name).GetProperties(s.w.t.Context(), nil)
	require.NoError(s.w.t, err)
	return properties.Metadata
}
