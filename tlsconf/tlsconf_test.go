package tlsconf

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a certificate authority of this test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert: cert, key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

// issue writes a certificate for name, good for both ends, over the two files.
func (a *authority) issue(t *testing.T, name, certFile, keyFile string) {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "EC PRIVATE KEY", keyDER)
}

// options are those of an agent that holds a certificate of a for name.
func (a *authority) options(t *testing.T, name string) Options {
	t.Helper()
	dir := t.TempDir()
	o := Options{CAFile: a.file, CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	a.issue(t, name, o.CertFile, o.KeyFile)
	return o
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, o Options) *Certificates {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// meet shakes hands over loopback and sends a byte each way, for in TLS 1.3 the
// client hears of its rejection only when it reads. It returns what the client
// saw, and what went wrong at either end.
func meet(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	echoed := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			echoed <- err
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		secured := tls.Server(conn, server)
		_, err = io.CopyN(secured, secured, 1)
		echoed <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	secured := tls.Client(conn, client)
	_, err = secured.Write([]byte("x"))
	if err == nil {
		_, err = io.ReadFull(secured, make([]byte, 1))
	}
	state := secured.ConnectionState()
	conn.Close()
	return state, errors.Join(err, <-echoed)
}

func TestHandshakes(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	const shanghai, beijing = "server.shanghai.consul", "server.beijing.consul"
	verify := func(o Options, incoming, outgoing, name bool) Options {
		o.VerifyIncoming, o.VerifyOutgoing, o.VerifyServerHostname = incoming, outgoing, name
		return o
	}
	noCert := Options{CAFile: ours.file}
	for _, c := range []struct {
		name           string
		server, client Options
		want           string // in the error; "" means they understand each other
	}{
		{"all verified", verify(ours.options(t, shanghai), true, true, true), verify(ours.options(t, shanghai), true, true, true), ""},
		{"an agent's certificate is enough to call", verify(ours.options(t, shanghai), true, false, false), verify(ours.options(t, "client.shanghai.consul"), false, true, true), ""},
		{"the server is of another CA", verify(theirs.options(t, shanghai), false, false, false), verify(ours.options(t, shanghai), false, true, false), "unknown authority"},
		{"the server is of another CA, name checked", verify(theirs.options(t, shanghai), false, false, false), verify(ours.options(t, shanghai), false, true, true), "unknown authority"},
		{"the server is of another datacenter", verify(ours.options(t, beijing), false, false, false), verify(ours.options(t, shanghai), false, true, true), "not " + shanghai},
		{"an agent plays the server", verify(ours.options(t, "client.shanghai.consul"), false, false, false), verify(ours.options(t, shanghai), false, true, true), "not " + shanghai},
		{"the name does not matter unless asked for", verify(ours.options(t, beijing), false, false, false), verify(ours.options(t, shanghai), false, true, false), ""},
		{"the caller has no certificate", verify(ours.options(t, shanghai), true, false, false), verify(noCert, false, true, true), "certificate"},
		{"the caller is of another CA", verify(ours.options(t, shanghai), true, false, false),
			verify(func() Options { o := theirs.options(t, "x"); o.CAFile = ours.file; return o }(), false, true, true), "certificate"},
		{"nobody asks the caller", verify(ours.options(t, shanghai), false, false, false), verify(noCert, false, true, true), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := meet(t, open(t, c.server).Server(), open(t, c.client).Client("shanghai", "consul"))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestProtocolIsNegotiated(t *testing.T) {
	ca := newAuthority(t, "ca")
	o := ca.options(t, "server.dc1.consul")
	o.VerifyOutgoing = true
	certs := open(t, o)
	client := certs.Client("dc1", "consul")
	client.NextProtos = []string{"consul/rpc-multi"}
	state, err := meet(t, certs.Server("consul/raft", "consul/rpc-multi"), client)
	if err != nil || state.NegotiatedProtocol != "consul/rpc-multi" {
		t.Errorf("negotiated %q, error %v", state.NegotiatedProtocol, err)
	}
}

func TestOldVersionsAreRefused(t *testing.T) {
	o := newAuthority(t, "ca").options(t, "server.dc1.consul")
	o.VerifyOutgoing, o.MinVersion = true, "TLSv1_3"
	certs := open(t, o)
	client := certs.Client("dc1", "consul")
	client.MinVersion, client.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, err := meet(t, certs.Server(), client); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("error %v", err)
	}
}

func TestReloadTakesAllOrNothing(t *testing.T) {
	old, renewed := newAuthority(t, "old"), newAuthority(t, "renewed")
	o := old.options(t, "server.dc1.consul")
	o.VerifyIncoming, o.VerifyOutgoing, o.VerifyServerHostname = true, true, true
	certs := open(t, o)
	server := certs.Server()
	issuer := func() string {
		t.Helper()
		state, err := meet(t, server, certs.Client("dc1", "consul"))
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].Issuer.CommonName
	}
	if got := issuer(); got != "old" {
		t.Fatalf("issuer %q", got)
	}

	// The certificate is there, its key is not yet: nothing may change.
	before, err := os.ReadFile(o.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	renewed.issue(t, "server.dc1.consul", o.CertFile, o.KeyFile)
	after, err := os.ReadFile(o.KeyFile)
	if err != nil || bytes.Equal(before, after) {
		t.Fatalf("the key is the old one, error %v", err)
	}
	if err := os.WriteFile(o.KeyFile, before, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := certs.Reload(); err == nil || !strings.Contains(err.Error(), "key") {
		t.Errorf("a key of another certificate: error %v", err)
	}
	if got := issuer(); got != "old" {
		t.Errorf("issuer %q after a failed reload", got)
	}

	writePEM(t, o.CAFile, "CERTIFICATE", renewed.cert.Raw)
	if err := os.WriteFile(o.KeyFile, after, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := certs.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := issuer(); got != "renewed" {
		t.Errorf("issuer %q after the reload", got)
	}
	// The configuration handed out before asks callers for the new CA, too.
	stranger := old.options(t, "x")
	stranger.CAFile, stranger.VerifyOutgoing = renewed.file, true
	if _, err := meet(t, server, open(t, stranger).Client("dc1", "consul")); err == nil {
		t.Error("a caller of the old CA was let in")
	}
}

func TestFolderOfAuthorities(t *testing.T) {
	a, b := newAuthority(t, "a"), newAuthority(t, "b")
	dir := t.TempDir()
	writePEM(t, filepath.Join(dir, "a.pem"), "CERTIFICATE", a.cert.Raw)
	writePEM(t, filepath.Join(dir, "b.pem"), "CERTIFICATE", b.cert.Raw)
	client := open(t, Options{CAPath: dir, VerifyOutgoing: true})
	for _, ca := range []*authority{a, b} {
		if _, err := meet(t, open(t, ca.options(t, "x")).Server(), client.Client("dc1", "consul")); err != nil {
			t.Errorf("%s: %v", ca.cert.Subject.CommonName, err)
		}
	}
}

func TestWithoutTLSThereIsNoConfiguration(t *testing.T) {
	certs := open(t, Options{})
	if certs.Server() != nil || certs.Client("dc1", "consul") != nil {
		t.Error("a configuration without a certificate")
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	ca := newAuthority(t, "ca")
	good := ca.options(t, "x")
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		opts       Options
	}{
		{"no CA file", "ca_file", Options{CAFile: "/nowhere/ca.pem"}},
		{"CA file of junk", "ca_file", Options{CAFile: junk}},
		{"no CA folder", "ca_path", Options{CAPath: "/nowhere"}},
		{"no certificate file", "/nowhere/c.pem", Options{CertFile: "/nowhere/c.pem", KeyFile: good.KeyFile}},
		{"a key of junk", "key_file", Options{CertFile: good.CertFile, KeyFile: junk}},
		{"a certificate without a key", "key_file", Options{CertFile: good.CertFile}},
		{"verify_incoming without CA", "set ca_file", Options{CertFile: good.CertFile, KeyFile: good.KeyFile, VerifyIncoming: true}},
		{"verify_outgoing without CA", "set ca_file", Options{VerifyOutgoing: true}},
		{"verify_incoming without certificate", "set cert_file", Options{CAFile: ca.file, VerifyIncoming: true}},
		{"a version nobody knows", "TLSv1_2", Options{MinVersion: "SSLv3"}},
		{"a suite nobody knows", "TLS_X", Options{CipherSuites: []string{"TLS_X"}}},
	} {
		if _, err := New(c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := New(Options{CipherSuites: []string{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}, MinVersion: "TLSv1_3"}); err != nil {
		t.Errorf("a known suite: %v", err)
	}
}
