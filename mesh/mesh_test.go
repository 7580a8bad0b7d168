package mesh

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/mesh/cert"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// bench is the authority of a datacenter whose log is always committed.
type bench struct {
	*Endpoint
	store  *store.Store
	log    *storetest.Log
	keeper *Keeper
}

func newBench(t *testing.T, first map[string]any) *bench {
	s, log := storetest.New(t, Module())
	return &bench{NewEndpoint(s, log, "dc1", true), s, log, NewKeeper(s, log, first, hclog.NewNullLogger())}
}

// begun is a bench that has its first root.
func begun(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, nil)
	b.look(t)
	return b
}

func (b *bench) look(t *testing.T) {
	t.Helper()
	if err := b.keeper.look(t.Context(), b.store.Read(nil)); err != nil {
		t.Fatal(err)
	}
}

func anyone() *rpc.Call { return &rpc.Call{Authz: rpc.AllowAll{}} }

func (b *bench) list(t *testing.T) *Roots {
	t.Helper()
	rep, err := b.roots(t.Context(), anyone(), &RootsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func (b *bench) set(t *testing.T, c Config) error {
	t.Helper()
	if c.Provider == "" {
		c.Provider = Provider
	}
	_, err := b.setConfig(t.Context(), anyone(), &ConfigSetRequest{Config: &c})
	return err
}

// request is a certificate request for a service of a mesh.
func request(t *testing.T, trust, dc, service string) string {
	t.Helper()
	key, err := cert.NewKey(cert.EC, 256)
	if err != nil {
		t.Fatal(err)
	}
	text, err := cert.NewRequest(key, cert.ServiceID{TrustDomain: trust, Namespace: "default", Datacenter: dc, Service: service})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (b *bench) leaf(t *testing.T, service string) *Issued {
	t.Helper()
	leaf, err := b.sign(t.Context(), anyone(), &SignRequest{CSR: request(t, b.list(t).TrustDomain, "dc1", service)})
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// trusts tells whether who knows these roots trusts a leaf, as a TLS server would show it.
func trusts(roots []*Root, leaf *Issued) error {
	block, rest := pem.Decode([]byte(leaf.CertPEM))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, r := range roots {
		opts.Roots.AppendCertsFromPEM([]byte(r.RootCert))
	}
	opts.Intermediates.AppendCertsFromPEM(rest)
	if len(c.URIs) != 1 || c.URIs[0].String() != leaf.ServiceURI {
		return errors.New("the certificate has another URI")
	}
	_, err = c.Verify(opts)
	return err
}

func TestALeafIsOfItsMesh(t *testing.T) {
	b := begun(t)
	roots := b.list(t)
	if len(roots.Roots) != 1 || roots.ActiveRootID != roots.Roots[0].ID || !strings.HasSuffix(roots.TrustDomain, ".consul") || roots.Index == 0 {
		t.Fatalf("got %+v", roots)
	}
	leaf := b.leaf(t, "web")
	if err := trusts(roots.Roots, leaf); err != nil {
		t.Error(err)
	}
	if leaf.ServiceURI != "spiffe://"+roots.TrustDomain+"/ns/default/dc/dc1/svc/web" || leaf.Service != "web" || leaf.PrivateKeyPEM != "" {
		t.Errorf("got %+v", leaf)
	}
	if life := leaf.ValidBefore.Sub(leaf.ValidAfter); life != 72*time.Hour {
		t.Errorf("it is good for %v", life)
	}
	if next := b.leaf(t, "web"); next.SerialNumber == leaf.SerialNumber || next.ModifyIndex <= leaf.ModifyIndex {
		t.Errorf("the next one is %s at %d, after %s at %d", next.SerialNumber, next.ModifyIndex, leaf.SerialNumber, leaf.ModifyIndex)
	}
	b.look(t)
	if again := b.list(t); again.Index != roots.Index || again.ActiveRootID != roots.ActiveRootID {
		t.Error("a second look made another root")
	}
}

func TestTheTrustDomainCanBeGivenOnce(t *testing.T) {
	const id = "11111111-2222-3333-4444-555555555555"
	b := newBench(t, map[string]any{"cluster_id": id})
	b.look(t)
	if got := b.list(t).TrustDomain; got != id+".consul" {
		t.Fatalf("the trust domain is %s", got)
	}
	for other, refused := range map[string]bool{id: false, "99999999-2222-3333-4444-555555555555": true, "mine": true} {
		_, err := b.setConfig(t.Context(), anyone(), &ConfigSetRequest{Config: &Config{Provider: Provider, Config: map[string]any{"ClusterID": other}}})
		if (err != nil) != refused {
			t.Errorf("cluster ID %s: %v", other, err)
		}
	}
	if got := b.list(t).TrustDomain; got != id+".consul" {
		t.Errorf("the trust domain has become %s", got)
	}
}

func TestARotationKeepsOldLeavesGood(t *testing.T) {
	b := begun(t)
	before := b.list(t)
	old := b.leaf(t, "web")
	if err := b.set(t, Config{Provider: "consul", Config: map[string]any{"PrivateKeyType": "rsa", "PrivateKeyBits": 2048}}); err != nil {
		t.Fatal(err)
	}
	after := b.list(t)
	if len(after.Roots) != 2 || after.ActiveRootID == before.ActiveRootID || after.TrustDomain != before.TrustDomain || after.Index <= before.Index {
		t.Fatalf("got %+v", after)
	}
	if err := trusts(after.Roots, old); err != nil {
		t.Errorf("the old leaf with the new roots: %v", err)
	}
	fresh := b.leaf(t, "web")
	if err := trusts(after.Roots, fresh); err != nil {
		t.Errorf("the new leaf with the new roots: %v", err)
	}
	if err := trusts(before.Roots, fresh); err != nil {
		t.Errorf("the new leaf with the old roots: %v", err)
	}
	for _, r := range after.Roots {
		if r.Active != (r.ID == after.ActiveRootID) || r.Active == r.RotatedOutAt.After(time.Now().Add(-time.Minute)) {
			t.Errorf("root %s: active %v, rotated out at %v", r.ID, r.Active, r.RotatedOutAt)
		}
	}
	keys := 0
	for range authorities(b.store.Read(nil)) {
		keys++
	}
	if keys != 1 {
		t.Errorf("%d keys are kept", keys)
	}

	// The same settings again change nothing, another life of leaves not the root.
	if err := b.set(t, Config{Provider: "consul", Config: map[string]any{"private_key_type": "rsa", "private_key_bits": 2048.0, "leaf_cert_ttl": "2h"}}); err != nil {
		t.Fatal(err)
	}
	if again := b.list(t); again.ActiveRootID != after.ActiveRootID || again.Index != after.Index {
		t.Error("another root for the same key")
	}
	if leaf := b.leaf(t, "web"); leaf.ValidBefore.Sub(leaf.ValidAfter) != 2*time.Hour {
		t.Errorf("a leaf is good for %v", leaf.ValidBefore.Sub(leaf.ValidAfter))
	}

	// Nothing that may still be in use is dropped, and everything else is.
	b.look(t)
	if n := len(b.list(t).Roots); n != 2 {
		t.Fatalf("%d roots", n)
	}
	late, err := store.Encode(opChange, time.Now().Add(72*time.Hour+time.Minute), &change{Op: prune, Prune: []string{before.ActiveRootID, after.ActiveRootID}})
	if err != nil {
		t.Fatal(err)
	}
	b.log.Batch(late)
	if left := b.list(t); len(left.Roots) != 1 || left.ActiveRootID != after.ActiveRootID || left.Index <= after.Index {
		t.Errorf("left is %+v", left)
	}
}

func TestARotationWithoutTheOldKey(t *testing.T) {
	b := begun(t)
	before := b.list(t)
	if err := b.set(t, Config{Provider: "consul", Config: map[string]any{"PrivateKeyBits": 384}, ForceWithoutCrossSigning: true}); err != nil {
		t.Fatal(err)
	}
	fresh := b.leaf(t, "web")
	if trusts(before.Roots, fresh) == nil {
		t.Error("it was signed by the old root after all")
	}
	if err := trusts(b.list(t).Roots, fresh); err != nil {
		t.Error(err)
	}
}

func TestAGivenRootSigns(t *testing.T) {
	b := begun(t)
	id := strings.TrimSuffix(b.list(t).TrustDomain, ".consul")
	given := func(meshID string) map[string]any {
		key, err := cert.NewKey(cert.EC, 384)
		if err != nil {
			t.Fatal(err)
		}
		a, err := cert.NewRoot(key, meshID, 77, 20*365*24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		text, err := cert.EncodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]any{"PrivateKey": text, "RootCert": cert.Encode(a.Cert)}
	}
	if err := b.set(t, Config{Config: given("11111111-2222-3333-4444-555555555555")}); err == nil || !strings.Contains(err.Error(), id) {
		t.Errorf("a root of another mesh: %v", err)
	}
	mixed := given(id)
	mixed["RootCert"] = given(id)["RootCert"]
	if err := b.set(t, Config{Config: mixed}); err == nil || !strings.Contains(err.Error(), "not that of the certificate") {
		t.Errorf("a root with another's key: %v", err)
	}
	good := given(id)
	if err := b.set(t, Config{Config: good}); err != nil {
		t.Fatal(err)
	}
	roots := b.list(t)
	if r, _ := activeRoot(b.store.Read(nil)); r.RootCert != good["RootCert"] || r.SerialNumber != 77 || len(roots.Roots) != 2 {
		t.Errorf("the active root is %+v", r)
	}
	if err := trusts(roots.Roots, b.leaf(t, "web")); err != nil {
		t.Error(err)
	}
	shown, err := b.config(t.Context(), anyone(), &ConfigRequest{})
	if err != nil || shown.Config[rootCert] != good["RootCert"] || shown.Config[privateKey] != nil {
		t.Errorf("shown is %+v (%v)", shown, err)
	}
	if err := b.set(t, Config{Config: shown.Config}); err != nil { // what was read may be written
		t.Fatal(err)
	}
	if again := b.list(t); again.ActiveRootID != roots.ActiveRootID {
		t.Error("another root for the configuration that was read")
	}
	if err := b.set(t, Config{}); err != nil { // back to one of our own
		t.Fatal(err)
	}
	if again := b.list(t); len(again.Roots) != 3 || again.ActiveRootID == roots.ActiveRootID {
		t.Error("the given root stayed")
	}
}

func TestNoAnswerHoldsTheKey(t *testing.T) {
	b := begun(t)
	_, key, err := signer(b.store.Read(nil))
	if err != nil {
		t.Fatal(err)
	}
	config, err := b.config(t.Context(), anyone(), &ConfigRequest{})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := cert.EncodeKey(key.Key)
	if err != nil {
		t.Fatal(err)
	}
	secret = strings.Split(secret, "\n")[1]
	for _, answer := range []any{b.list(t), config, b.leaf(t, "web")} {
		text, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		var wire []byte
		if err := codec.NewEncoderBytes(&wire, rpc.Msgpack).Encode(answer); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), secret) || bytes.Contains(wire, []byte(secret)) || strings.Contains(string(text), "EC PRIVATE") {
			t.Errorf("%T holds the key of the root", answer)
		}
	}
}

func TestWhoMaySignIsAsked(t *testing.T) {
	b := begun(t)
	trust := b.list(t).TrustDomain
	for name, c := range map[string]struct {
		csr, want string
	}{
		"another mesh":       {request(t, "x.consul", "dc1", "web"), "different trust domain"},
		"another datacenter": {request(t, trust, "dc2", "web"), "different datacenter: dc2, we are dc1"},
		"no request":         {"hello", "no PEM-encoded certificate request"},
	} {
		if _, err := b.sign(t.Context(), anyone(), &SignRequest{CSR: c.csr}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	off := NewEndpoint(b.store, b.log, "dc1", false)
	if _, err := off.sign(t.Context(), anyone(), &SignRequest{}); !errors.Is(err, errOff) {
		t.Error(err)
	}
	if _, err := off.roots(t.Context(), anyone(), &RootsRequest{}); !errors.Is(err, errOff) {
		t.Error(err)
	}
	empty := newBench(t, nil)
	if _, err := empty.sign(t.Context(), anyone(), &SignRequest{CSR: request(t, trust, "dc1", "web")}); err == nil || !strings.Contains(err.Error(), "uninitialized") {
		t.Errorf("without a root: %v", err)
	}
}

func TestBadSettingsAreRefusedWhole(t *testing.T) {
	b := begun(t)
	before := b.list(t)
	for want, c := range map[string]Config{
		`unknown CA provider "nope"`:          {Provider: "nope"},
		`"vault" is not supported`:            {Provider: "vault"},
		"Nope: the CA provider":               {Config: map[string]any{"Nope": 1}},
		"LeafCertTTL is \"soon\"":             {Config: map[string]any{"LeafCertTTL": "soon"}},
		"greater or equal than 1h0m0s":        {Config: map[string]any{"LeafCertTTL": "59m"}},
		"less than 8760h":                     {Config: map[string]any{"LeafCertTTL": "9000h"}},
		"3 * LeafCertTTL":                     {Config: map[string]any{"IntermediateCertTTL": "100h"}},
		"root cert TTL is set":                {Config: map[string]any{"RootCertTTL": "100h"}},
		"private key type must be":            {Config: map[string]any{"PrivateKeyType": "dsa"}},
		"EC key length must be":               {Config: map[string]any{"PrivateKeyBits": 2048}},
		"no private key found":                {Config: map[string]any{"PrivateKey": "x"}},
		"RootCert needs the PrivateKey":       {Config: map[string]any{"RootCert": "x"}},
		"State is read-only":                  {State: map[string]string{"a": "b"}},
		"CSRMaxPerSecond and":                 {Config: map[string]any{"CSRMaxPerSecond": -1}},
		"CSRMaxPerSecond is \"a\": use a num": {Config: map[string]any{"CSRMaxPerSecond": "a"}},
	} {
		if err := b.set(t, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	_, err := b.setConfig(t.Context(), anyone(), &ConfigSetRequest{Config: &Config{}})
	if err == nil || !strings.Contains(err.Error(), "Provider is missing") {
		t.Errorf("without a provider: %v", err)
	}
	if after := b.list(t); after.Index != before.Index {
		t.Error("something was changed")
	}
}

func TestChangesThatComeTooLateAreVoid(t *testing.T) {
	b := begun(t)
	s, kept, err := parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	root, authority, _, err := makeRoot(t.Context(), b.log, s, "other")
	if err != nil {
		t.Fatal(err)
	}
	for _, expect := range []string{"", "another"} {
		done, _, err := store.Propose[bool](t.Context(), b.log, opChange, &change{Op: set, Expect: expect, Config: &Config{Provider: Provider, Config: kept}, Root: root, Authority: authority})
		if done || err != nil {
			t.Errorf("done %v, %v", done, err)
		}
	}
}

func TestSigningIsBounded(t *testing.T) {
	var l limits
	few := &settings{perSecond: 0.001}
	if _, err := l.enter(t.Context(), few); err != nil {
		t.Fatal(err)
	}
	if _, err := l.enter(t.Context(), few); !errors.Is(err, errBusy) {
		t.Errorf("a second one: %v", err)
	}
	one := &settings{concurrent: 1}
	done, err := l.enter(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.enter(t.Context(), one); !errors.Is(err, errBusy) {
		t.Errorf("a second one at a time: %v", err)
	}
	done()
	if done, err = l.enter(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	done()
	if _, err := l.enter(t.Context(), &settings{}); err != nil {
		t.Error(err)
	}
}

func TestASnapshotKeepsTheAuthority(t *testing.T) {
	b := begun(t)
	if err := b.set(t, Config{Config: map[string]any{"PrivateKeyBits": 384}}); err != nil {
		t.Fatal(err)
	}
	roots, old := b.list(t), b.leaf(t, "web")
	fresh := newBench(t, nil)
	if err := fresh.store.Restore(storetest.Snapshot(t, b.store)); err != nil {
		t.Fatal(err)
	}
	fresh.log.SkipTo(1000)
	fresh.look(t)
	again := fresh.list(t)
	if again.Index != roots.Index || again.ActiveRootID != roots.ActiveRootID || again.TrustDomain != roots.TrustDomain || len(again.Roots) != 2 {
		t.Fatalf("got %+v, want %+v", again, roots)
	}
	if err := errors.Join(trusts(again.Roots, old), trusts(roots.Roots, fresh.leaf(t, "web"))); err != nil {
		t.Error(err)
	}
	if again.Roots[0].HanseLeafTTL != 72*time.Hour {
		t.Errorf("the life of its leaves is %v", again.Roots[0].HanseLeafTTL)
	}
}

func TestTheAuthorityOfAConsulSnapshotIsTakenOver(t *testing.T) {
	const trust = "6fe5e806-1efc-2c9f-26d1-a865068bcdc0.consul"
	b := newBench(t, nil)
	imported, err := b.store.Import(storetest.Archive(t, "../catalog/testdata/consul-1.21.4.snap"), 5000, store.Identity{ID: "dc", Incarnation: "next"})
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range []byte{recordRoot, recordAuthority, recordConfig} {
		if imported.Records[record] != 1 {
			t.Errorf("%d records of the type %d were taken over", imported.Records[record], record)
		}
	}
	var stream bytes.Buffer
	if err := imported.Write(&stream); err != nil {
		t.Fatal(err)
	}
	if err := b.store.Restore(io.NopCloser(&stream)); err != nil {
		t.Fatal(err)
	}
	b.log.SkipTo(5000)
	b.look(t)
	roots := b.list(t)
	if len(roots.Roots) != 1 || roots.ActiveRootID != "70:87:b3:cf:3c:68:f6:e0:05:93:0a:51:86:01:b1:28:51:f8:79:3a" || roots.TrustDomain != trust || roots.Index != 5000 {
		t.Fatalf("got %+v", roots)
	}
	if r := roots.Roots[0]; r.CreateIndex != 14 || r.ModifyIndex != 5000 || r.PrivateKeyBits != 256 || r.SerialNumber != 12 {
		t.Errorf("the root is %+v", r)
	}
	leaf := b.leaf(t, "web")
	c, err := cert.Parse(leaf.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	root, err := cert.Parse(roots.Roots[0].RootCert)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckSignatureFrom(root); err != nil { // its time is that of the recording
		t.Error(err)
	}
	if err := b.set(t, Config{Config: map[string]any{"PrivateKeyBits": 384}}); err != nil {
		t.Fatal(err)
	}
	if again := b.list(t); len(again.Roots) != 2 || again.TrustDomain != trust {
		t.Errorf("after a rotation: %+v", again)
	}
}

func TestTheKeeperMakesARootAsSoonAsItIsMissing(t *testing.T) {
	b := newBench(t, map[string]any{"private_key_bits": 384, "leaf_cert_ttl": "24h"})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); b.keeper.Run(ctx) }()
	defer func() { stop(); <-ended }()
	await := func() *Roots {
		t.Helper()
		for {
			changes := make(rpc.WatchSet)
			rep, err := b.roots(t.Context(), &rpc.Call{Authz: rpc.AllowAll{}, Watch: changes}, &RootsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Roots) > 0 {
				return rep
			}
			if changes.WatchCtx(t.Context()) != nil {
				t.Fatal("no root")
			}
		}
	}
	first := await()
	if r := first.Roots[0]; r.PrivateKeyBits != 384 || r.HanseLeafTTL != 24*time.Hour {
		t.Errorf("the root is %+v", r)
	}
	if err := b.store.Restore(storetest.Snapshot(t, newBench(t, nil).store)); err != nil {
		t.Fatal(err)
	}
	if second := await(); second.TrustDomain == first.TrustDomain {
		t.Error("the trust domain outlived its state")
	}
}

// What is kept of settings means the same when it is read again.
func FuzzSettings(f *testing.F) {
	f.Add("LeafCertTTL", `"72h"`)
	f.Add("private_key", `"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"`)
	f.Add("CSRMaxPerSecond", "5e300")
	f.Fuzz(func(t *testing.T, name, text string) {
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			return
		}
		s, kept, err := parse(map[string]any{name: value})
		if err != nil {
			return
		}
		if again, _, err := parse(kept); err != nil || again.leafTTL != s.leafTTL || again.keyType != s.keyType || again.keyBits != s.keyBits {
			t.Errorf("%s = %s is %+v, and once kept %+v (%v)", name, text, s, again, err)
		}
	})
}
