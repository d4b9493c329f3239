package kubelet

import (
	"context"
	"fmt"
	"os"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenLife is how long a pod's token is good; it is renewed well before.
const tokenLife = time.Hour

// kubeconfig returns a file that says how the pod's processes reach the API
// server as the pod's service account. The token is in a file beside it, which
// is renewed.
func (w *pod) kubeconfig(ctx context.Context) (string, error) {
	if _, err := os.Stat(w.kubeconfigFile()); err == nil {
		return w.kubeconfigFile(), nil
	}
	if err := w.writeToken(ctx); err != nil {
		return "", err
	}
	from := w.kubelet.config
	c := clientcmdapi.NewConfig()
	c.Clusters["cluster"] = &clientcmdapi.Cluster{Server: from.Host, CertificateAuthorityData: from.CAData}
	c.AuthInfos["pod"] = &clientcmdapi.AuthInfo{TokenFile: w.tokenFile()}
	c.Contexts["pod"] = &clientcmdapi.Context{Cluster: "cluster", AuthInfo: "pod", Namespace: w.namespace}
	c.CurrentContext = "pod"
	if err := clientcmd.WriteToFile(*c, w.kubeconfigFile()); err != nil {
		return "", fmt.Errorf("write the pod's kubeconfig: %w", err)
	}
	return w.kubeconfigFile(), nil
}

func (w *pod) writeToken(ctx context.Context) error {
	seconds := int64(tokenLife / time.Second)
	p := w.current()
	got, err := w.kubelet.client.CoreV1().ServiceAccounts(w.namespace).CreateToken(ctx, p.Spec.ServiceAccountName,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: &seconds,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: w.name, UID: w.uid},
		}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("get the pod's token: %w", err)
	}
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}
	next := w.tokenFile() + ".next"
	if err := os.WriteFile(next, []byte(got.Status.Token), 0o600); err != nil {
		return err
	}
	return os.Rename(next, w.tokenFile())
}

func (w *pod) renewToken(ctx context.Context) {
	for wait := tokenLife * 3 / 4; ; wait = tokenLife / 60 {
		sleep(ctx, wait)
		for ctx.Err() == nil && w.writeToken(ctx) == nil {
			sleep(ctx, tokenLife*3/4)
		}
		if ctx.Err() != nil {
			return
		}
	}
}
