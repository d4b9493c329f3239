package plane

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	_ "istio.io/api/label" // the definitions of its kinds are in this module
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/test/plane/build"
)

// gatewayAPI is the module that holds the Gateway API's definitions; its
// version is the one in Serin's go.mod.
const gatewayAPI = "sigs.k8s.io/gateway-api"

// GatewayAPI returns the folder with the Gateway API's definitions, those of
// its standard channel.
func GatewayAPI(ctx context.Context) (string, error) {
	dir, err := ModuleDir(ctx, gatewayAPI)
	return filepath.Join(dir, "config", "crd", "standard"), err
}

// ModuleDir returns the folder of a Go module at the version that Serin's
// go.mod asks for. Several projects keep the manifests of their custom
// resources in their module.
func ModuleDir(ctx context.Context, path string) (string, error) {
	root, err := build.Root()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", path)
	cmd.Dir = root
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if bad := json.Unmarshal(out, &module); bad != nil {
		return "", fmt.Errorf("find the module %s: %w", path, errors.Join(err, bad))
	}
	if err != nil || module.Error != "" {
		return "", fmt.Errorf("find the module %s: %w: %s", path, err, module.Error)
	}
	return module.Dir, nil
}

// istioRouting are the definitions by which Istio routes. The others are large, an
// API server takes seconds to take them up, and nothing here needs them.
var istioRouting = []string{"virtualservices.networking.istio.io", "destinationrules.networking.istio.io"}

// Istio returns the definitions by which Istio routes; their version is the one in
// Serin's go.mod.
func Istio(ctx context.Context) ([]*unstructured.Unstructured, error) {
	dir, err := ModuleDir(ctx, "istio.io/api")
	if err != nil {
		return nil, err
	}
	all, err := read(filepath.Join(dir, "kubernetes", "customresourcedefinitions.gen.yaml"))
	return slices.DeleteFunc(all, func(u *unstructured.Unstructured) bool { return !slices.Contains(istioRouting, u.GetName()) }), err
}

// manifests are all that is applied at the start.
func (o Options) manifests(ctx context.Context) ([]*unstructured.Unstructured, error) {
	paths := slices.Clone(o.Manifests)
	if o.Gateway {
		dir, err := GatewayAPI(ctx)
		if err != nil {
			return nil, err
		}
		paths = append(paths, dir)
	}
	all, err := read(paths...)
	if err != nil || !o.Istio {
		return all, err
	}
	routing, err := Istio(ctx)
	return append(all, routing...), err
}

// read reads the objects of files, and of the YAML files of folders.
func read(paths ...string) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, path := range paths {
		files := []string{path}
		if info, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("read manifests: %w", err)
		} else if info.IsDir() {
			if files, err = filepath.Glob(filepath.Join(path, "*.yaml")); err != nil {
				return nil, fmt.Errorf("read manifests: %w", err)
			}
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("read manifests: %w", err)
			}
			objects, err := documents(text)
			if err != nil {
				return nil, fmt.Errorf("read manifests: %s: %w", file, err)
			}
			all = append(all, objects...)
		}
	}
	return all, nil
}

// documents are the objects of a manifest.
func documents(manifest []byte) (all []*unstructured.Unstructured, err error) {
	list := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := list.Decode(&u.Object); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		if len(u.Object) > 0 {
			all = append(all, u)
		}
	}
}

// KubectlApply does what kubectl apply does with a manifest. For objects that are not
// there yet it needs no process.
func (p *Plane) KubectlApply(ctx context.Context, manifest string) error {
	objects, err := documents([]byte(manifest))
	if err != nil {
		return fmt.Errorf("apply a manifest: %w", err)
	}
	c, err := p.objects()
	if err != nil {
		return fmt.Errorf("apply a manifest: %w", err)
	}
	for _, u := range objects {
		applied, err := u.MarshalJSON()
		if err != nil {
			return fmt.Errorf("apply a manifest: %w", err)
		}
		annotations := map[string]string{corev1.LastAppliedConfigAnnotation: string(applied)}
		maps.Copy(annotations, u.GetAnnotations())
		u.SetAnnotations(annotations)
		err = c.Create(ctx, u, client.FieldOwner("kubectl-client-side-apply"), client.FieldValidation(metav1.FieldValidationStrict))
		if apierrors.IsAlreadyExists(err) {
			file := filepath.Join(p.Dir, fmt.Sprintf("apply-%s.yaml", rand.Text()))
			if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
				return fmt.Errorf("apply a manifest: %w", err)
			}
			defer os.Remove(file)
			_, err = p.Kubectl(ctx, "apply", "-f", file)
			return err
		}
		if err != nil {
			return fmt.Errorf("create the %s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
	return nil
}

// Apply applies manifests, files or folders, server side, and waits until
// custom resource definitions among them are usable.
func (p *Plane) Apply(ctx context.Context, paths ...string) error {
	objects, err := read(paths...)
	if err != nil {
		return err
	}
	return p.ApplyObjects(ctx, objects)
}

// ApplyObjects is Apply for what has been read: definitions at the same time and
// before all else, which is applied in its order.
func (p *Plane) ApplyObjects(ctx context.Context, objects []*unstructured.Unstructured) error {
	c, err := p.objects()
	if err != nil {
		return fmt.Errorf("apply manifests: %w", err)
	}
	one := func(u *unstructured.Unstructured) error {
		err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("test-plane"), client.ForceOwnership)
		if err != nil {
			return fmt.Errorf("apply the %s %s: %w", u.GetKind(), u.GetName(), err)
		}
		return nil
	}
	var wait sync.WaitGroup
	errs := make([]error, len(objects))
	for i, u := range objects {
		if isDefinition(u) {
			wait.Go(func() { errs[i] = errors.Join(one(u), established(ctx, c, u.GetName())) })
		}
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, u := range objects {
		if isDefinition(u) {
			continue
		}
		if err := one(u); err != nil {
			return err
		}
	}
	return nil
}

func isDefinition(u *unstructured.Unstructured) bool {
	return u.GetKind() == "CustomResourceDefinition"
}

// established waits until a definition is usable.
func established(ctx context.Context, c client.Client, name string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion("apiextensions.k8s.io/v1")
		u.SetKind("CustomResourceDefinition")
		err := c.Get(ctx, client.ObjectKey{Name: name}, u)
		if err != nil {
			return fmt.Errorf("wait for the definition %s: %w", name, err)
		}
		conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions") // none yet is no mistake
		if slices.ContainsFunc(conditions, func(c any) bool {
			m, _ := c.(map[string]any)
			return m["type"] == "Established" && m["status"] == "True"
		}) {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the definition %s is not usable: %w", name, ctx.Err())
		}
	}
}
