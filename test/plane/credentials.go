package plane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// credentials are the files by which the parts of the plane know each other.
// They are made anew for every plane and are worth nothing outside of it.
type credentials struct {
	ca, serving, servingKey, serviceAccountKey string // files
	tokens                                     string // file for --token-auth-file
	adminToken, adminTokenFile                 string
	caPEM                                      []byte
}

func newCredentials(dir string) (credentials, error) {
	dir = filepath.Join(dir, "credentials")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return credentials{}, fmt.Errorf("make the plane's credentials: %w", err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	c := credentials{
		ca: at("ca.pem"), serving: at("apiserver.pem"), servingKey: at("apiserver.key"),
		serviceAccountKey: at("service-accounts.key"), tokens: at("tokens.csv"), adminTokenFile: at("admin.token"),
		adminToken: rand.Text(),
	}
	caKey, caDER, err := certificate(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test plane"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}, nil, nil)
	if err != nil {
		return c, err
	}
	ca, err := x509.ParseCertificate(caDER)
	if err != nil {
		return c, err
	}
	key, der, err := certificate(&x509.Certificate{
		Subject: pkix.Name{CommonName: "kube-apiserver"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, ca, caKey)
	if err != nil {
		return c, err
	}
	accounts, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	keyPEM, err := keyToPEM(key)
	if err != nil {
		return c, err
	}
	accountsPEM, err := keyToPEM(accounts)
	if err != nil {
		return c, err
	}
	c.caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	for file, content := range map[string][]byte{
		c.ca: c.caPEM, c.serving: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), c.servingKey: keyPEM,
		c.serviceAccountKey: accountsPEM, c.adminTokenFile: []byte(c.adminToken),
		c.tokens: []byte(c.adminToken + `,admin,admin,"system:masters"` + "\n"),
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return c, fmt.Errorf("write the plane's credentials: %w", err)
		}
	}
	return c, nil
}

// certificate makes a key and its certificate, signed by parent or by itself.
func certificate(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(7*24*time.Hour)
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	return key, der, err
}

func keyToPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
}

// writeKubeconfig writes how to reach the API server as config does.
func writeKubeconfig(path string, config *rest.Config) error {
	c := clientcmdapi.NewConfig()
	c.Clusters["plane"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	c.AuthInfos["plane"] = &clientcmdapi.AuthInfo{Token: config.BearerToken}
	c.Contexts["plane"] = &clientcmdapi.Context{Cluster: "plane", AuthInfo: "plane", Namespace: "default"}
	c.CurrentContext = "plane"
	if err := clientcmd.WriteToFile(*c, path); err != nil {
		return fmt.Errorf("write the plane's kubeconfig: %w", err)
	}
	return nil
}
