package cert

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

const (
	meshID = "63b30006-ceaf-91d0-2cb2-0060db459b92"
	trust  = meshID + ".consul"
)

// recordedRoot is one that Consul made.
const recordedRoot = `-----BEGIN CERTIFICATE-----
MIICDzCCAbWgAwIBAgIBBzAKBggqhkjOPQQDAjAxMS8wLQYDVQQDEyZwcmktMWRy
Znk4NDUuY29uc3VsLmNhLjYzYjMwMDA2LmNvbnN1bDAeFw0yNjExMjEwMjA0MDFa
Fw0zNjExMTgwMjA0MDFaMDExLzAtBgNVBAMTJnByaS0xZHJmeTg0NS5jb25zdWwu
Y2EuNjNiMzAwMDYuY29uc3VsMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE22/I
YlaMc84lS7Nmhj6eRXYIOqTkIBqFVQAXyvXCjih4c+zUC4g3ME2ofU4a9/2NJI85
LDWBC4pEXo13/FnaXaOBvTCBujAOBgNVHQ8BAf8EBAMCAYYwDwYDVR0TAQH/BAUw
AwEB/zApBgNVHQ4EIgQgvjihjAEbsHaDLISkgWlo5vKZGFCDYHj1MsObc9gdnJ0w
KwYDVR0jBCQwIoAgvjihjAEbsHaDLISkgWlo5vKZGFCDYHj1MsObc9gdnJ0wPwYD
VR0RBDgwNoY0c3BpZmZlOi8vNjNiMzAwMDYtY2VhZi05MWQwLTJjYjItMDA2MGRi
NDU5YjkyLmNvbnN1bDAKBggqhkjOPQQDAgNIADBFAiEAy2dGjlX7m36oUVXdj7ed
iKOTMC4pcZ/TVAe0gu4nbRgCIEVf21NJGrwTehR1EjBb9ISqEXxigRMdshIZr50t
3QPb
-----END CERTIFICATE-----
`

func authority(t *testing.T, kind string, bits int, serial uint64) *Authority {
	t.Helper()
	key, err := NewKey(kind, bits)
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewRoot(key, meshID, serial, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func leaf(t *testing.T, a *Authority, service string) *x509.Certificate {
	t.Helper()
	key, err := NewKey(EC, 256)
	if err != nil {
		t.Fatal(err)
	}
	text, err := NewRequest(key, ServiceID{trust, "default", "dc1", service})
	if err != nil {
		t.Fatal(err)
	}
	csr, id, err := ParseRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.SignLeaf(csr, id, 300, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func verifies(c *x509.Certificate, roots []*x509.Certificate, between ...string) error {
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, r := range roots {
		opts.Roots.AddCert(r)
	}
	for _, text := range between {
		opts.Intermediates.AppendCertsFromPEM([]byte(text))
	}
	_, err := c.Verify(opts)
	return err
}

func TestALeafIsTrustedByItsRootAlone(t *testing.T) {
	for kind, bits := range map[string]int{EC: 256, RSA: 2048} {
		a, b := authority(t, kind, bits, 7), authority(t, EC, 384, 8)
		c := leaf(t, a, "web")
		if got := c.URIs[0].String(); got != "spiffe://"+trust+"/ns/default/dc/dc1/svc/web" {
			t.Error(got)
		}
		if Serial(c) != "01:2c" || Serial(a.Cert) != "07" {
			t.Errorf("serials %s and %s", Serial(c), Serial(a.Cert))
		}
		if err := verifies(c, []*x509.Certificate{a.Cert}); err != nil {
			t.Error(err)
		}
		if verifies(c, []*x509.Certificate{b.Cert}) == nil {
			t.Error("another root trusts it")
		}
		cross, err := a.CrossSign(b.Cert, 9)
		if err != nil {
			t.Fatal(err)
		}
		next := leaf(t, b, "web")
		if verifies(next, []*x509.Certificate{a.Cert}) == nil {
			t.Error("the old root trusts it without the cross-signed one")
		}
		if err := verifies(next, []*x509.Certificate{a.Cert}, cross); err != nil {
			t.Error(err)
		}
		if err := verifies(next, []*x509.Certificate{b.Cert}, cross); err != nil {
			t.Error(err)
		}
		text, err := EncodeKey(a.Key)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseAuthority(Encode(a.Cert), text); err != nil || !again.Cert.Equal(a.Cert) {
			t.Errorf("an authority does not come back: %v", err)
		}
		if _, err := ParseAuthority(Encode(b.Cert), text); err == nil {
			t.Error("the key of another certificate was taken")
		}
		if _, err := ParseAuthority(Encode(c), text); err == nil {
			t.Error("a leaf was taken for an authority")
		}
	}
}

func TestIDsAreThoseConsulGives(t *testing.T) {
	c, err := Parse(recordedRoot)
	if err != nil {
		t.Fatal(err)
	}
	if got := Fingerprint(c); got != "29:0f:d2:aa:ea:de:a2:b6:24:21:52:0e:52:95:af:c4:5a:13:76:58" {
		t.Error(got)
	}
	id, err := keyID(c.PublicKey)
	if got := Hex(id); err != nil || got != Hex(c.SubjectKeyId) {
		t.Errorf("%s, want %s (%v)", got, Hex(c.SubjectKeyId), err)
	}
	if kind, bits, err := KeyType(c.PublicKey); kind != EC || bits != 256 || err != nil {
		t.Error(kind, bits, err)
	}
	if c.URIs[0].Host != TrustDomain(strings.ToUpper(meshID)) {
		t.Error(c.URIs[0])
	}
}

func TestSPIFFEIDs(t *testing.T) {
	for text, want := range map[string]string{
		"spiffe://" + trust + "/ns/default/dc/dc1/svc/web":            "web",
		"spiffe://" + trust + "/ap/default/ns/default/dc/dc1/svc/web": "web",
		"spiffe://" + trust + "/ns/default/dc/dc1/svc/a%20b":          "a b",
		"spiffe://" + trust: "not that of a service",
		"spiffe://" + trust + "/agent/client/dc/dc1/id/x":      "not that of a service",
		"http://" + trust + "/ns/default/dc/dc1/svc/web":       "'spiffe' scheme",
		"spiffe:///ns/default/dc/dc1/svc/web":                  "expected format",
		"spiffe://" + trust + "/ns/default/dc//svc/web":        "expected format",
		"spiffe://" + trust + "/ns/default/dc/dc1/svc/web/x":   "expected format",
		"spiffe://" + trust + "/ns/default/dc/dc1/svc/web?x=1": "expected format",
		"%zz": "invalid URL escape",
	} {
		id, err := ParseServiceID(text)
		if err != nil && !strings.Contains(err.Error(), want) || err == nil && id.Service != want {
			t.Errorf("%s: %+v, %v; want %s", text, id, err, want)
		}
		if err == nil && id.TrustDomain != trust {
			t.Errorf("%s: %+v", text, id)
		}
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	a := authority(t, EC, 256, 1)
	for _, text := range []string{"", "no PEM", Encode(a.Cert),
		"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"} {
		if _, _, err := ParseRequest(text); err == nil {
			t.Errorf("%q was taken for a request", text)
		}
		if _, err := ParseKey(text); err == nil {
			t.Errorf("%q was taken for a key", text)
		}
	}
	for kind, bits := range map[string]int{"": 256, EC: 255, RSA: 1024, "dsa": 2048} {
		if _, err := NewKey(kind, bits); err == nil {
			t.Errorf("made a key of %s %d", kind, bits)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	key, err := NewKey(EC, 256)
	if err != nil {
		f.Fatal(err)
	}
	text, err := NewRequest(key, ServiceID{trust, "default", "dc1", "web"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, "spiffe://"+trust+"/ns/default/dc/dc1/svc/web")
	f.Fuzz(func(t *testing.T, text, uri string) {
		ParseRequest(text)
		if id, err := ParseServiceID(uri); err == nil {
			if again, err := ParseServiceID(id.URI().String()); err != nil || again != id {
				t.Errorf("%q is %+v, and then %+v (%v)", uri, id, again, err)
			}
		}
	})
}
