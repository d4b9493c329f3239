package plane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

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

// manifests are all that is applied at the start.
func (o Options) manifests(ctx context.Context) ([]string, error) {
	list := slices.Clone(o.Manifests)
	if !o.Gateway {
		return list, nil
	}
	dir, err := GatewayAPI(ctx)
	return append(list, dir), err
}
