package deploy

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// schemas is the module that carries Kubernetes' own OpenAPI documents, and which release's are used.
const (
	schemas        = "sigs.k8s.io/kubectl-validate@v0.0.4"
	schemasRelease = "1.30"
)

// object is one document of a manifest.
type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`

	file string
	text []byte
}

func (o object) String() string { return o.file + ": " + o.Kind + " " + o.Metadata.Name }

// manifests returns all documents of all manifests.
func manifests(t *testing.T) []object {
	t.Helper()
	files, err := filepath.Glob("../../deploy/kubernetes/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var objects []object
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			o := object{file: filepath.Base(file), text: []byte(document)}
			require.NoError(t, yaml.Unmarshal(o.text, &o), file)
			objects = append(objects, o)
		}
	}
	return objects
}

// decode reads an object and refuses fields that its kind does not have.
func decode[T any](t *testing.T, o object) T {
	t.Helper()
	var into T
	require.NoError(t, decodeStrictly(o.text, &into), o)
	return into
}

// decodeStrictly is how the API server decodes: with unknown fields refused, and by their case.
func decodeStrictly(text []byte, into any) error {
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	strict, err := json.UnmarshalStrict(asJSON, into)
	return errors.Join(append(strict, err)...)
}

// Every manifest is what the API server takes: no unknown field, none that is missing, no value out of range.
func TestManifestsAreValid(t *testing.T) {
	known := map[string]struct {
		document, definition string
		strict               func(*testing.T, object)
	}{
		"Service":             {"api/v1", "api.core.v1.Service", strictly[core.Service]},
		"StatefulSet":         {"apis/apps/v1", "api.apps.v1.StatefulSet", strictly[apps.StatefulSet]},
		"Deployment":          {"apis/apps/v1", "api.apps.v1.Deployment", strictly[apps.Deployment]},
		"Job":                 {"apis/batch/v1", "api.batch.v1.Job", strictly[batch.Job]},
		"PodDisruptionBudget": {"apis/policy/v1", "api.policy.v1.PodDisruptionBudget", strictly[policy.PodDisruptionBudget]},
		"ServiceMonitor":      {strict: strictly[monitoring.ServiceMonitor]}, // not of Kubernetes' own
	}
	folder := schemaFolder(t)
	seen := make(map[string]bool)
	for _, o := range manifests(t) {
		seen[o.Kind] = true
		kind, ok := known[o.Kind]
		require.True(t, ok, "no schema is known for %s", o)
		kind.strict(t, o)
		if kind.document != "" {
			schema := compile(t, filepath.Join(folder, kind.document+".json"), kind.definition)
			require.NoError(t, schema.Validate(generic(t, o.text)), o)
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(known)), slices.Collect(maps.Keys(seen)))
}

func strictly[T any](t *testing.T, o object) {
	t.Helper()
	decode[T](t, o)
}

// The check of manifests finds what is wrong.
func TestWrongManifestsAreFound(t *testing.T) {
	folder := schemaFolder(t)
	schema := compile(t, filepath.Join(folder, "apis/apps/v1.json"), "api.apps.v1.StatefulSet")
	for _, o := range manifests(t) {
		if o.Kind != "StatefulSet" {
			continue
		}
		wrong := strings.Replace(string(o.text), "  selector:\n    matchLabels:\n      app.kubernetes.io/name: billing\n  template", "  template", 1)
		require.NotEqual(t, string(o.text), wrong)
		require.ErrorContains(t, schema.Validate(generic(t, []byte(wrong))), "selector")
		wrong = strings.Replace(string(o.text), "replicas: 3", "replicas: many", 1)
		require.Error(t, schema.Validate(generic(t, []byte(wrong))))
		var typed apps.StatefulSet
		wrong = strings.Replace(string(o.text), "serviceName", "servicename", 1)
		require.ErrorContains(t, decodeStrictly([]byte(wrong), &typed), "servicename")
	}
}

// schemaFolder returns where Kubernetes' OpenAPI documents are.
func schemaFolder(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "mod", "download", "-json", schemas).Output()
	require.NoError(t, err)
	var module struct{ Dir string }
	require.NoError(t, stdjson.Unmarshal(out, &module))
	return filepath.Join(module.Dir, "pkg/openapiclient/builtins", schemasRelease)
}

func compile(t *testing.T, file, definition string) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(file + "#/components/schemas/io.k8s." + definition)
	require.NoError(t, err)
	return schema
}

// generic returns a document as the validator wants it.
func generic(t *testing.T, text []byte) any {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON(text)
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(asJSON)))
	require.NoError(t, err)
	return value
}

// workload is what StatefulSets and Deployments have in common.
type workload struct {
	object

	selector map[string]string
	template core.PodTemplateSpec
}

func workloads(t *testing.T) (all []workload, services []core.Service, budgets []policy.PodDisruptionBudget) {
	t.Helper()
	for _, o := range manifests(t) {
		switch o.Kind {
		case "StatefulSet":
			s := decode[apps.StatefulSet](t, o)
			all = append(all, workload{o, s.Spec.Selector.MatchLabels, s.Spec.Template})
		case "Deployment":
			d := decode[apps.Deployment](t, o)
			all = append(all, workload{o, d.Spec.Selector.MatchLabels, d.Spec.Template})
		case "Service":
			services = append(services, decode[core.Service](t, o))
		case "PodDisruptionBudget":
			budgets = append(budgets, decode[policy.PodDisruptionBudget](t, o))
		}
	}
	require.Len(t, all, 2)
	return all, services, budgets
}

// What is right for the API server can still not fit together.
func TestManifestsFitTogether(t *testing.T) {
	all, services, budgets := workloads(t)
	for _, w := range all {
		labels, spec := w.template.Labels, w.template.Spec
		require.Equal(t, w.selector, labels, w)
		require.True(t, slices.ContainsFunc(services, func(s core.Service) bool {
			return s.Name == w.Metadata.Name && maps.Equal(s.Spec.Selector, labels) &&
				s.Spec.Ports[0].TargetPort.StrVal == spec.Containers[0].Ports[0].Name &&
				s.Labels["app.kubernetes.io/part-of"] == "tenure"
		}), "%s has a service, which is scraped", w)
		require.True(t, slices.ContainsFunc(budgets, func(b policy.PodDisruptionBudget) bool {
			return maps.Equal(b.Spec.Selector.MatchLabels, labels)
		}), "%s has a disruption budget", w)
		apart := spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution[0].PodAffinityTerm
		require.Equal(t, labels, apart.LabelSelector.MatchLabels, w)

		c := spec.Containers[0]
		flags := flagsOf(c.Args)
		drain, ttl := flags.duration(t, "drain-timeout"), flags.duration(t, "ttl")
		ending := drain + max(ttl/10, 200*time.Millisecond) + ttl
		require.Greater(t, time.Duration(*spec.TerminationGracePeriodSeconds)*time.Second, ending,
			"%s: the drain, the stop grace and the revoking of the lease", w)
		require.Equal(t, fmt.Sprintf(":%d", c.Ports[0].ContainerPort), flags["metrics-addr"], w)
		require.Equal(t, "$(POD_NAME)", flags["owner-id"], w)
		require.Equal(t, "/healthz", c.LivenessProbe.HTTPGet.Path)
		require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path)
		require.Greater(t, c.LivenessProbe.TimeoutSeconds, int32(5), "the time that a busy member has to answer")
		for _, probe := range []*core.Probe{c.LivenessProbe, c.ReadinessProbe} {
			require.Equal(t, c.Ports[0].Name, probe.HTTPGet.Port.StrVal)
		}
		require.True(t, *spec.SecurityContext.RunAsNonRoot)
		require.Equal(t, spec.Volumes[0].Name, c.VolumeMounts[0].Name)
		for _, e := range c.Env {
			if strings.HasPrefix(e.Value, "/") {
				require.Equal(t, c.VolumeMounts[0].MountPath, filepath.Dir(e.Value), e.Name)
			}
		}
	}
}

type flags map[string]string

func flagsOf(args []string) flags {
	found := make(flags)
	for _, arg := range args {
		if arg == "--" {
			break
		}
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		found[name] = value
	}
	return found
}

func (f flags) duration(t *testing.T, name string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(f[name])
	require.NoError(t, err, name)
	return d
}

// The command takes the arguments and the environment of the manifests: the first thing that is wrong is that etcd is
// not there.
func TestTheCommandTakesTheArguments(t *testing.T) {
	tenure := build(t)
	all, _, _ := workloads(t)
	for _, w := range all {
		c := w.template.Spec.Containers[0]
		args := slices.Clone(c.Args)
		for i := range args {
			switch {
			case args[i] == "/usr/local/bin/worker":
				args[i] = tenure // a program that is there
			case strings.HasPrefix(args[i], "--metrics-addr"):
				args[i] = "--metrics-addr=127.0.0.1:0"
			}
			args[i] = strings.ReplaceAll(args[i], "$(POD_NAME)", "billing-0")
		}
		command := exec.Command(tenure, args...)
		command.Env = []string{"HOME=" + t.TempDir(), "TENURE_DIAL_TIMEOUT=100ms", "EVENTHUB_CONNECTION_STRING=" +
			"Endpoint=sb://localhost:1;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true"}
		for _, e := range c.Env {
			if e.Name == "TENURE_ENDPOINTS" {
				command.Env = append(command.Env, "TENURE_ENDPOINTS=127.0.0.1:1")
			}
		}
		out, err := command.CombinedOutput()
		failed, ok := errors.AsType[*exec.ExitError](err)
		require.True(t, ok, "%s: %v: %s", w, err, out)
		require.Equal(t, 3, failed.ExitCode(), "%s: %s", w, out)
	}
}

// build builds the command and returns its path.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tenure")
	command := exec.Command("go", "build", "-C", "../..", "-o", path, "./cmd/tenure")
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// The Job's steps do in a real etcd what they are to.
func TestTheJobMakesTheUser(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "etcdctl")
	out, err := exec.Command("go", "build", "-o", tool, "go.etcd.io/etcd/etcdctl/v3").CombinedOutput()
	require.NoError(t, err, "%s", out)
	cluster := etcdtest.Start(t)
	client := cluster.Client(t)
	for _, o := range manifests(t) {
		if o.Kind != "Job" {
			continue
		}
		pod := decode[batch.Job](t, o).Spec.Template.Spec
		for _, step := range append(pod.InitContainers, pod.Containers...) {
			require.Equal(t, "etcdctl", step.Command[0])
			command := exec.Command(tool, step.Command[1:]...)
			command.Env = append(os.Environ(), "ETCDCTL_ENDPOINTS="+strings.Join(cluster.Endpoints(), ","))
			out, err := command.CombinedOutput()
			require.NoError(t, err, "%s: %s", step.Name, out)
		}
	}
	role, err := client.RoleGet(context.Background(), "billing")
	require.NoError(t, err)
	require.Len(t, role.Perm, 1)
	require.Equal(t, "READWRITE", role.Perm[0].PermType.String())
	require.Equal(t, "/tenure/v1/", string(role.Perm[0].Key))
	require.Equal(t, "/tenure/v10", string(role.Perm[0].RangeEnd))
	user, err := client.UserGet(context.Background(), "billing")
	require.NoError(t, err)
	require.Equal(t, []string{"billing"}, user.Roles)
}
