package agent_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

func socketFlags(path string) []string {
	return []string{"-dev", "-hcl", fmt.Sprintf(`addresses { http = "unix://%s" } unix_sockets { mode = "0600" }`, path)}
}

func TestSocketFileIsServedToItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http.sock")
	for range 2 { // the second finds what the first left
		a := start(t, socketFlags(path)...)
		info, err := os.Stat(path)
		if err != nil || info.Mode() != os.ModeSocket|0o600 {
			t.Fatalf("the socket file is %v (%v)", info.Mode(), err)
		}
		if want := []string{path}; !slices.Equal(a.HTTPAddrs(), want) {
			t.Errorf("the addresses are %v, want %v", a.HTTPAddrs(), want)
		}
		client, err := api.NewClient(&api.Config{Address: "unix://" + path})
		if err != nil {
			t.Fatal(err)
		}
		lab.Until(t, "an answer comes through the socket", func() error {
			_, err := client.KV().Put(&api.KVPair{Key: "a"}, nil)
			return err
		})
		a.stop(t)
		left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		left.SetUnlinkOnClose(false)
		left.Close()
	}
}

func TestSocketFileThatIsSomethingElseStays(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "precious")
	if err := os.WriteFile(file, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	used := filepath.Join(dir, "used.sock")
	ln, err := net.Listen("unix", used)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for path, want := range map[string]string{
		file: "is no socket", used: "is in use", filepath.Join(dir, "no", "folder"): "no such file",
	} {
		addr := address()
		_, err := newAgent(t, &journal{}, append(socketFlags(path), "-bind", addr)...)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error is %v, want %q in it", path, err, want)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "data" {
		t.Errorf("the file is %q (%v)", text, err)
	}
	if _, err := net.Dial("unix", used); err != nil {
		t.Errorf("the socket in use: %v", err)
	}
}

func TestHTTPSWithCertificatesThatAreRenewed(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	first := ca.issue(t, dir, nil, "127.0.0.1")
	a := start(t, "-dev", "-https-port", "8501", "-hcl", fmt.Sprintf(
		"tls { https { ca_file = %q, cert_file = %q, key_file = %q, verify_incoming = true } }", ca.file, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")))
	a.put(t, "a", "1")
	mine := t.TempDir()
	ca.issue(t, mine, nil)
	own, err := tls.LoadX509KeyPair(filepath.Join(mine, "cert.pem"), filepath.Join(mine, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	get := func(certs ...tls.Certificate) (serial, protocol string, err error) {
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Certificates: certs},
			ForceAttemptHTTP2: true,
		}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("https://" + a.addr + ":8501/v1/kv/a?raw")
		if err != nil {
			return "", "", err
		}
		defer resp.Body.Close()
		if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "1" {
			return "", "", errorOf(err, string(text))
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.String(), resp.Proto, nil
	}
	if serial, protocol, err := get(own); serial != first || protocol != "HTTP/2.0" {
		t.Errorf("saw certificate %s over %s (%v), want %s over HTTP/2.0", serial, protocol, err, first)
	}
	if _, _, err := get(); err == nil { // how it is worded depends on who notices first
		t.Errorf("without a certificate: %v", err)
	}
	second := ca.issue(t, dir, nil, "127.0.0.1")
	if status, text, err := a.do(http.MethodPut, "/v1/agent/reload", ""); err != nil || status != http.StatusOK {
		t.Fatalf("reload: %d %s (%v)", status, text, err)
	}
	if serial, _, err := get(own); serial != second {
		t.Errorf("after the reload certificate %s (%v), want %s", serial, err, second)
	}
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, text, err := a.do(http.MethodPut, "/v1/agent/reload", ""); err != nil || status != http.StatusInternalServerError || !strings.Contains(text, "cert.pem") {
		t.Errorf("reload of garbage: %d %s (%v)", status, text, err)
	}
	if serial, _, err := get(own); serial != second {
		t.Errorf("after the failed reload certificate %s (%v), want %s", serial, err, second)
	}
}

func TestConnectionsOfOneClientAreBounded(t *testing.T) {
	a := start(t, "-dev", "-hcl", "limits { http_max_conns_per_client = 2 }")
	ask := func(conn net.Conn) int {
		fmt.Fprint(conn, "GET /v1/status/peers HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	dial := func() net.Conn {
		conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", a.addr+":8500")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	open := []net.Conn{dial(), dial()}
	for _, conn := range open {
		if status := ask(conn); status != http.StatusOK {
			t.Fatalf("within the bound the status is %d", status)
		}
	}
	if status := ask(dial()); status != http.StatusTooManyRequests {
		t.Errorf("above the bound the status is %d", status)
	}
	open[0].Close()
	until(t, "there is room again", func() bool { return ask(dial()) == http.StatusOK })
	if status := ask(open[1]); status != http.StatusOK {
		t.Errorf("the status of a connection that was always there is %d", status)
	}
}

func TestReloadTakesOverTheLogLevel(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.hcl")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`log_level = "INFO"`)
	a := start(t, "-dev", "-config-file", file)
	reload := func() (int, string) {
		t.Helper()
		status, text, err := a.do(http.MethodPut, "/v1/agent/reload", "")
		if err != nil {
			t.Fatal(err)
		}
		return status, text
	}
	write("log_level = \"DEBUG\"\nports { http = 1234 }\nnode_meta { a = \"b\" }\nacl { default_policy = \"deny\" }")
	if status, text := reload(); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, text)
	}
	for _, setting := range []string{"ports.http", "addresses.http", "node_meta"} {
		if n := a.log.count("takes effect at the next start", "setting="+setting); n != 1 {
			t.Errorf("%s is named %d times", setting, n)
		}
	}
	if a.log.count("acl", "was ignored") != 1 {
		t.Error("the warning of the file was not logged")
	}
	if a.log.count("[DEBUG]", "path=/v1/agent/reload") != 1 {
		t.Error("the log level was not taken over")
	}
	write(`log_levl = "INFO"`)
	status, text := reload()
	if status != http.StatusInternalServerError || !strings.Contains(text, `did you mean "log_level"?`) {
		t.Errorf("reload of a mistake: %d %s", status, text)
	}
	before := a.log.count("[DEBUG]", "path=/v1/status/leader")
	if _, _, err := a.do(http.MethodGet, "/v1/status/leader", ""); err != nil {
		t.Fatal(err)
	}
	until(t, "the log level is as before", func() bool { return a.log.count("[DEBUG]", "path=/v1/status/leader") == before+1 })
}
