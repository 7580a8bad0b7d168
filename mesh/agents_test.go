package mesh_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// rootsOf are the roots that n knows, once there are some.
func rootsOf(t *testing.T, n *lab.Node) *api.CARootList {
	t.Helper()
	var roots *api.CARootList
	lab.Until(t, n.Name+" knows a root", func() (err error) {
		if roots, _, err = n.API(t).Agent().ConnectCARoots(nil); err == nil && len(roots.Roots) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
	return roots
}

func leafOf(t *testing.T, n *lab.Node, service string, q *api.QueryOptions) (leaf *api.LeafCert, meta *api.QueryMeta) {
	t.Helper()
	lab.Do(t, "a certificate of "+service, func() (err error) {
		leaf, meta, err = n.API(t).Agent().ConnectCALeaf(service, q)
		return err
	})
	return leaf, meta
}

// trusts tells whether who knows the roots trusts a leaf, as a service would.
func trusts(roots *api.CARootList, leaf *api.LeafCert) error {
	pair, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM))
	if err != nil {
		return err
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, r := range roots.Roots {
		opts.Roots.AppendCertsFromPEM([]byte(r.RootCertPEM))
	}
	for _, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		opts.Intermediates.AddCert(c)
	}
	if len(pair.Leaf.URIs) != 1 || pair.Leaf.URIs[0].String() != leaf.ServiceURI {
		return fmt.Errorf("it is of %v, not of %s", pair.Leaf.URIs, leaf.ServiceURI)
	}
	_, err = pair.Leaf.Verify(opts)
	return err
}

func TestEveryAgentTrustsTheSameRoots(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3), lab.Clients("shanghai", 1), lab.Servers("beijing", 1))
	dc, client := fed.DC("shanghai"), fed.Node("shanghai-c1")
	roots := rootsOf(t, client)
	for _, n := range dc.Nodes {
		if other := rootsOf(t, n); other.ActiveRootID != roots.ActiveRootID || other.TrustDomain != roots.TrustDomain {
			t.Errorf("%s knows %s of %s", n.Name, other.ActiveRootID, other.TrustDomain)
		}
	}
	away := rootsOf(t, fed.Node("beijing-s1"))
	if away.ActiveRootID == roots.ActiveRootID || away.TrustDomain == roots.TrustDomain {
		t.Error("two datacenters share a root")
	}
	if seen, _, err := client.API(t).Connect().CARoots(&api.QueryOptions{Datacenter: "beijing"}); err != nil || seen.ActiveRootID != away.ActiveRootID {
		t.Errorf("seen from shanghai: %+v, %v", seen, err)
	}

	// Many callers, one certificate; it says whose it is, and only its own mesh trusts it.
	var all sync.WaitGroup
	serials := make([]string, 20)
	for i := range serials {
		all.Go(func() {
			leaf, _, err := client.API(t).Agent().ConnectCALeaf("web", nil)
			for lab.LeaderWent(err) {
				leaf, _, err = client.API(t).Agent().ConnectCALeaf("web", nil)
			}
			if err != nil {
				t.Error(err)
				return
			}
			serials[i] = leaf.SerialNumber
		})
	}
	all.Wait()
	leaf, _ := leafOf(t, client, "web", nil)
	for _, serial := range serials {
		if serial != leaf.SerialNumber {
			t.Fatalf("several certificates: %q", serials)
		}
	}
	if want := "spiffe://" + roots.TrustDomain + "/ns/default/dc/shanghai/svc/web"; leaf.ServiceURI != want {
		t.Errorf("got %s, want %s", leaf.ServiceURI, want)
	}
	if err := trusts(roots, leaf); err != nil {
		t.Error(err)
	}
	if trusts(away, leaf) == nil {
		t.Error("the other datacenter trusts it")
	}

	// A new leader, and a restart of everything, keep the root.
	killed := dc.KillLeader(t)
	dc.LeaderAmong(t, dc.Running()...)
	if after := rootsOf(t, client); after.ActiveRootID != roots.ActiveRootID {
		t.Error("a new leader began with another root")
	}
	if next, _ := leafOf(t, dc.Running()[0], "db", nil); trusts(roots, next) != nil {
		t.Error("what the new leader signs is not trusted")
	}
	killed.Start(t)
	for _, n := range dc.Servers() {
		n.Stop(t)
	}
	for _, n := range dc.Servers() {
		n.Start(t)
	}
	dc.WaitWhole(t)
	if after := rootsOf(t, dc.Servers()[0]); after.ActiveRootID != roots.ActiveRootID || after.TrustDomain != roots.TrustDomain {
		t.Error("a restart began with another root")
	}
}

func TestARotationReachesTheAgents(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Clients("shanghai", 1))
	server, client := fed.Node("shanghai-s1"), fed.Node("shanghai-c1")
	before := rootsOf(t, client)
	old, meta := leafOf(t, client, "web", nil)
	saved := server.Get(t, "/v1/snapshot").Body

	ca := client.API(t).Connect()
	config, _, err := ca.CAGetConfig(nil)
	if err != nil || config.Provider != "consul" || config.Config["LeafCertTTL"] != "72h" {
		t.Fatalf("the configuration is %+v, %v", config, err)
	}
	config.Config["PrivateKeyBits"] = 384
	if _, err := ca.CASetConfig(config, nil); err != nil {
		t.Fatal(err)
	}
	next, _ := leafOf(t, client, "web", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: 2 * time.Minute})
	if next.SerialNumber == old.SerialNumber {
		t.Fatal("no new certificate after the root changed")
	}
	var after *api.CARootList
	lab.Until(t, "the agent knows another root", func() error {
		if after = rootsOf(t, client); after.ActiveRootID == before.ActiveRootID {
			return errors.New("it is the first")
		}
		return nil
	})
	if len(after.Roots) != 2 || after.TrustDomain != before.TrustDomain {
		t.Fatalf("the roots are %+v", after)
	}
	if err := errors.Join(trusts(after, old), trusts(after, next), trusts(before, next)); err != nil {
		t.Error(err)
	}
	pemText := server.Get(t, "/v1/connect/ca/roots?pem=true")
	n := 0
	for rest := pemText.Body; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
	}
	if n != 3 || pemText.Header.Get("Content-Type") != "application/pem-certificate-chain" {
		t.Errorf("%d certificates as %s", n, pemText.Header.Get("Content-Type"))
	}
	for _, path := range []string{"/v1/connect/ca/roots", "/v1/connect/ca/configuration", "/v1/agent/connect/ca/roots", "/v1/agent/self"} {
		if body := server.Get(t, path).Body; bytes.Contains(body, []byte("PRIVATE KEY")) {
			t.Errorf("%s shows a key", path)
		}
	}
	if strings.Contains(server.Log(t)+client.Log(t), "PRIVATE KEY") {
		t.Error("a log shows a key")
	}

	// A restored snapshot brings its root back.
	if a, err := server.Do(t.Context(), http.MethodPut, "/v1/snapshot", string(saved)); err != nil || a.Status != http.StatusOK {
		t.Fatalf("restore: %v, %v", a, err)
	}
	lab.Until(t, "the first root is back", func() error {
		roots, _, err := client.API(t).Agent().ConnectCARoots(nil)
		if err == nil && roots.ActiveRootID != before.ActiveRootID {
			err = fmt.Errorf("it is %s", roots.ActiveRootID)
		}
		return err
	})
	if again, _ := leafOf(t, server, "web", nil); trusts(before, again) != nil {
		t.Error("what is signed after the restore is not trusted")
	}
}

func TestAuthorize(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1))
	server := fed.Node("shanghai-s1")
	rootsOf(t, server)
	leaf, _ := leafOf(t, server, "web", nil)
	agent := server.API(t).Agent()
	auth, err := agent.ConnectAuthorize(&api.AgentAuthorizeParams{Target: "db", ClientCertURI: leaf.ServiceURI, ClientCertSerial: leaf.SerialNumber})
	if err != nil || !auth.Authorized || auth.Reason == "" {
		t.Errorf("got %+v, %v", auth, err)
	}
	if _, err := agent.ConnectAuthorize(&api.AgentAuthorizeParams{Target: "db", ClientCertURI: "web"}); err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("got %v", err)
	}
}

func TestWithoutAMesh(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Clients("shanghai", 1), lab.Flags("-hcl=connect { enabled = false }"))
	for _, n := range fed.Nodes() {
		if _, _, err := n.API(t).Agent().ConnectCALeaf("web", nil); err == nil || !strings.Contains(err.Error(), "Connect must be enabled") {
			t.Errorf("%s: %v", n.Name, err)
		}
		self, err := n.API(t).Agent().Self()
		if err != nil || self["DebugConfig"]["ConnectEnabled"] != false {
			t.Errorf("%s: %v, %v", n.Name, self["DebugConfig"]["ConnectEnabled"], err)
		}
	}
}

func TestConfigEntriesThroughTheClient(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3), lab.Clients("shanghai", 1), lab.Servers("beijing", 1),
		lab.Flags(`-hcl=config_entries { bootstrap = [{ kind = "proxy-defaults", name = "global", config = { local_connect_timeout_ms = 1000 } }] }`))
	client := fed.Node("shanghai-c1")
	lab.Until(t, "the first entry is there", func() error {
		_, _, err := client.API(t).ConfigEntries().Get(api.ProxyDefaults, api.ProxyConfigGlobal, nil)
		return err
	})
	entries := client.API(t).ConfigEntries()
	web := &api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "web", Protocol: "http"}
	unsure := false // whether an earlier try has written it
	lab.Do(t, "write the first entry", func() error {
		ok, _, err := entries.CAS(web, 0, nil)
		if err == nil && !ok && !unsure {
			err = errors.New("there is one")
		}
		unsure = true
		return err
	})
	lab.Do(t, "write over it", func() error {
		ok, _, err := entries.CAS(web, 0, nil)
		if ok {
			t.Error("written over one that is there")
		}
		return err
	})
	got, meta, err := entries.Get(api.ServiceDefaults, "web", nil)
	if err != nil || got.(*api.ServiceConfigEntry).Protocol != "http" || got.GetModifyIndex() != meta.LastIndex {
		t.Fatalf("got %+v at %d, %v", got, meta.LastIndex, err)
	}
	answer := make(chan api.ConfigEntry, 1)
	go func() {
		e, _, err := fed.DC("shanghai").Servers()[0].API(t).ConfigEntries().Get(api.ServiceDefaults, "web",
			&api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: 5 * time.Minute})
		if err != nil {
			t.Error(err)
		}
		answer <- e
	}()
	web.Protocol = "grpc"
	set := func(n *lab.Node, e api.ConfigEntry, q *api.WriteOptions) {
		t.Helper()
		lab.Do(t, "write an entry at "+n.Name, func() error {
			ok, _, err := n.API(t).ConfigEntries().Set(e, q)
			if err == nil && !ok {
				err = errors.New("it was not written")
			}
			return err
		})
	}
	set(client, web, nil)
	if e := <-answer; e == nil || e.(*api.ServiceConfigEntry).Protocol != "grpc" {
		t.Errorf("who waited got %+v", e)
	}
	router := &api.ServiceRouterConfigEntry{Kind: api.ServiceRouter, Name: "web", Routes: []api.ServiceRoute{{
		Match:       &api.ServiceRouteMatch{HTTP: &api.ServiceRouteHTTPMatch{PathPrefix: "/x"}},
		Destination: &api.ServiceRouteDestination{Service: "other", RequestTimeout: 5 * time.Second},
	}}}
	set(fed.Node("beijing-s1"), router, &api.WriteOptions{Datacenter: "shanghai"})
	away, _, err := fed.Node("beijing-s1").API(t).ConfigEntries().List(api.ServiceRouter, &api.QueryOptions{Datacenter: "shanghai"})
	if err != nil || len(away) != 1 || away[0].(*api.ServiceRouterConfigEntry).Routes[0].Destination.RequestTimeout != 5*time.Second {
		t.Errorf("seen from beijing: %+v, %v", away, err)
	}
	lab.Do(t, "delete an entry", func() error {
		_, err := entries.Delete(api.ServiceDefaults, "web", nil)
		return err
	})
	if _, _, err := entries.Get(api.ServiceDefaults, "web", nil); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("after the deletion: %v", err)
	}
}
