package agent_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// A service that takes only callers with a certificate is checked with the agent's.
func TestChecksShowTheCertificateOfTheAgent(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	ca.issue(t, dir, []string{"agent"}, "127.0.0.1")
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	service.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}
	service.StartTLS()
	defer service.Close()
	for enabled, want := range map[bool]string{true: api.HealthPassing, false: api.HealthCritical} {
		a := start(t, "-dev", "-hcl", fmt.Sprintf(`enable_agent_tls_for_checks = %t
			ca_file = %q cert_file = %q key_file = %q`, enabled, ca.file, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")))
		c := a.api(t)
		err := c.Agent().CheckRegister(&api.AgentCheckRegistration{
			ID: "c", Name: "c", AgentServiceCheck: api.AgentServiceCheck{HTTP: service.URL, Interval: "1s", Status: api.HealthWarning},
		})
		if err != nil {
			t.Fatal(err)
		}
		lab.Until(t, "the service was checked", func() error {
			checks, err := c.Agent().Checks()
			if err == nil && checks["c"].Status != want {
				err = fmt.Errorf("it is %s: %s", checks["c"].Status, checks["c"].Output)
			}
			return err
		})
	}
}
