// Package kubernetes tests the manifests beside it. It is a module of its own:
// Kubernetes' types bring 19 modules, a minute of building and a newer
// golang.org/x/net, and malcolm needs none of them. Types written by hand would
// only know the fields that their writer thought of.
package kubernetes

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// kinds are those that may be in a manifest.
var kinds = map[string]func() any{
	"v1 Service":                         func() any { return new(corev1.Service) },
	"v1 ConfigMap":                       func() any { return new(corev1.ConfigMap) },
	"apps/v1 StatefulSet":                func() any { return new(appsv1.StatefulSet) },
	"batch/v1 Job":                       func() any { return new(batchv1.Job) },
	"networking.k8s.io/v1 NetworkPolicy": func() any { return new(networkingv1.NetworkPolicy) },
}

// decoded returns the objects of a manifest. A field that its kind does not
// have, or has twice, is an error.
func decoded(t *testing.T, name string) (all []any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range bytes.Split(text, []byte("\n---\n")) {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(part, &head); err != nil {
			t.Fatal(err)
		}
		make, ok := kinds[head.APIVersion+" "+head.Kind]
		if !ok {
			t.Fatalf("%s: the kind %q of %q is not among those that are checked", name, head.Kind, head.APIVersion)
		}
		object := make()
		if err := yaml.UnmarshalStrict(part, object); err != nil {
			t.Fatalf("%s: %s: %v", name, head.Kind, err)
		}
		all = append(all, object)
	}
	return all
}

// TestStrict: every manifest is made of fields that exist.
func TestStrict(t *testing.T) {
	names, err := filepath.Glob("*.yaml")
	if err != nil || len(names) != 2 {
		t.Fatalf("%q, %v", names, err)
	}
	for _, name := range names {
		decoded(t, name)
	}
	for _, wrong := range []string{"kind: Service\nspec: {port: 1}\n", "kind: Service\nspec: {}\nspec: {}\n", "kind: Service\nspec: {ports: [{port: x}]}\n"} {
		if yaml.UnmarshalStrict([]byte(wrong), new(corev1.Service)) == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

// TestFit: what the objects say of each other is true.
func TestFit(t *testing.T) {
	var service *corev1.Service
	var servers *appsv1.StatefulSet
	var policy *networkingv1.NetworkPolicy
	for _, object := range decoded(t, "malcolm.yaml") {
		switch o := object.(type) {
		case *corev1.Service:
			service = o
		case *appsv1.StatefulSet:
			servers = o
		case *networkingv1.NetworkPolicy:
			policy = o
		}
	}
	job := decoded(t, "get.yaml")[0].(*batchv1.Job)
	if service.Spec.ClusterIP != corev1.ClusterIPNone || servers.Spec.ServiceName != service.Name {
		t.Errorf("the servers are of %q, the service is %q with the address %q", servers.Spec.ServiceName, service.Name, service.Spec.ClusterIP)
	}
	template := servers.Spec.Template
	for _, selector := range []map[string]string{service.Spec.Selector, servers.Spec.Selector.MatchLabels, policy.Spec.PodSelector.MatchLabels} {
		for key, value := range selector {
			if template.Labels[key] != value {
				t.Errorf("a selector wants %s=%s", key, value)
			}
		}
	}
	ports := make(map[string]corev1.ContainerPort)
	for _, p := range template.Spec.Containers[0].Ports {
		ports[p.Name] = p
	}
	for _, p := range service.Spec.Ports {
		if to, ok := ports[p.TargetPort.StrVal]; !ok || to.Protocol != p.Protocol || to.ContainerPort != p.Port || p.Name == "" {
			t.Errorf("port %s of the service leads to %+v", p.Name, to)
		}
	}
	for _, rule := range policy.Spec.Ingress {
		for _, p := range rule.Ports {
			if to, ok := ports[p.Port.StrVal]; !ok || to.Protocol != *p.Protocol {
				t.Errorf("the policy's port %s is %+v", p.Port.StrVal, to)
			}
		}
	}
	names := make(map[string]bool) // of SRV, as DNS has them for a headless service
	for _, p := range service.Spec.Ports {
		names["srv:_"+p.Name+"._"+strings.ToLower(string(p.Protocol))+"."+service.Name] = true
	}
	if args := job.Spec.Template.Spec.Containers[0].Args; len(args) != 2 || !names[args[1]] {
		t.Errorf("the job runs %q, and DNS has %v", args, names)
	}
	for key, value := range policy.Spec.Ingress[0].From[0].PodSelector.MatchLabels {
		if job.Spec.Template.Labels[key] != value {
			t.Errorf("the job's pod lacks %s=%s, so the servers do not answer it", key, value)
		}
	}
	c := template.Spec.Containers[0]
	for path, probe := range map[string]*corev1.Probe{"/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || ports[probe.HTTPGet.Port.StrVal].ContainerPort != 9100 {
			t.Errorf("%s is not probed", path)
		}
	}
}

// TestVolumes: each mount has a volume, and each volume is mounted.
func TestVolumes(t *testing.T) {
	for _, name := range []string{"malcolm.yaml", "get.yaml"} {
		for _, object := range decoded(t, name) {
			var spec corev1.PodSpec
			have := make(map[string]bool)
			switch o := object.(type) {
			case *appsv1.StatefulSet:
				spec = o.Spec.Template.Spec
				for _, claim := range o.Spec.VolumeClaimTemplates {
					have[claim.Name] = true
				}
			case *batchv1.Job:
				spec = o.Spec.Template.Spec
			default:
				continue
			}
			for _, v := range spec.Volumes {
				have[v.Name] = true
			}
			for _, m := range spec.Containers[0].VolumeMounts {
				if !have[m.Name] {
					t.Errorf("%s: there is no volume %s", name, m.Name)
				}
				delete(have, m.Name)
			}
			for v := range have {
				t.Errorf("%s: the volume %s is not mounted", name, v)
			}
			if s := spec.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || *s.RunAsUser != 65532 {
				t.Errorf("%s does not run as 65532", name)
			}
		}
	}
}
