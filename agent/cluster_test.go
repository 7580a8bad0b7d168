package agent_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

const allOfTLS = "verify_incoming = true, verify_outgoing = true, verify_server_hostname = true"

func TestServerPortWithTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	fed := lab.New(t, lab.Servers("shanghai", 3), lab.Clients("shanghai", 1), lab.Servers("beijing", 1),
		lab.Servers("osaka", 1), lab.Servers("nagoya", 1), lab.Servers("kobe", 1))
	for _, n := range fed.Nodes() {
		ca, names, verify := ours, []string{"server." + n.DC.Name + ".consul"}, allOfTLS
		switch {
		case !n.Server:
			names = []string{"client." + n.DC.Name + ".consul"}
		case n.DC.Name == "osaka":
			ca = theirs // nobody else's authority
		case n.DC.Name == "nagoya":
			names = []string{"server.elsewhere.consul"} // whoever verifies it finds another
			verify = "verify_incoming = true, verify_outgoing = true"
		}
		n.Flags = []string{"-hcl", ca.internal(t, names, verify)}
		if n.DC.Name == "kobe" {
			n.Flags = nil // in the clear
		}
	}
	fed.Launch(t)
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	shanghai.WaitWhole(t)
	beijing.WaitWhole(t)
	client := fed.Node("shanghai-c1")
	client.Put(t, "beijing", "a", "1")
	beijing.WaitFor(t, "a", "1")
	fed.Node("beijing-s1").Put(t, "shanghai", "b", "2")
	shanghai.WaitFor(t, "b", "2")

	for _, dc := range []string{"osaka", "nagoya"} {
		fed.DC(dc).Leader(t)
		lab.Until(t, "calls to "+dc+" are refused because of its certificate", func() error {
			a, err := client.Do(t.Context(), http.MethodGet, "/v1/kv/a?dc="+dc, "")
			if err == nil && a.Reason() != "tls" {
				err = fmt.Errorf("status %d, reason %q: %s", a.Status, a.Reason(), a.Body)
			}
			return err
		})
	}
	// A server that demands TLS hangs up on everybody else.
	lab.Until(t, "a call in the clear fails", func() error {
		a, err := fed.Node("kobe-s1").Do(t.Context(), http.MethodGet, "/v1/kv/a?dc=beijing", "")
		if err == nil && (a.Status != http.StatusInternalServerError || a.Reason() == "unknown_dc") {
			err = fmt.Errorf("status %d, reason %q: %s", a.Status, a.Reason(), a.Body)
		}
		return err
	})
	conn := beijing.Nodes[0].Dial(t, lab.ServerPort)
	if _, err := conn.Write([]byte{4}); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a connection in the clear is served (%d bytes, %v)", n, err)
	} else if !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("a connection in the clear ends with %v", err)
	}
}

func TestGossipKeysThatDiffer(t *testing.T) {
	const key, other = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=", "cg8StVXbQJ0gPvMd9o7yrg=="
	a := start(t, "-dev", "-node", "a", "-encrypt", key)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"another key": {[]string{"-encrypt", other}, "give both the same encrypt key"},
		"no key":      {nil, "give both the same encrypt key"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, append([]string{"-dev", "-node", "b", "-join", a.addr}, c.args...)...)
			b.wait(t)
			if b.err == nil || !strings.Contains(b.err.Error(), c.want) {
				t.Errorf("the agent ended with: %v", b.err)
			}
		})
	}
	same := start(t, "-dev", "-server=false", "-node", "c", "-encrypt", key, "-retry-join", a.addr)
	same.put(t, "a", "1")
}

// writers write through n until the test says enough, and note what failed.
type writers struct {
	stop   context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	wrote  map[string]string
	failed []error
}

func write(t *testing.T, n *lab.Node, count int) *writers {
	ctx, stop := context.WithCancel(t.Context())
	w := &writers{stop: stop, wrote: map[string]string{}}
	for i := range count {
		w.wg.Go(func() {
			for k := 0; ctx.Err() == nil; k++ {
				key, value := fmt.Sprintf("w/%d/%d", i, k), fmt.Sprint(i*k)
				a, err := n.Do(context.WithoutCancel(ctx), http.MethodPut, "/v1/kv/"+key, value)
				if err == nil {
					err = a.Err()
				}
				w.mu.Lock()
				if err != nil {
					w.failed = append(w.failed, err)
				} else {
					w.wrote[key] = value
				}
				w.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { stop(); w.wg.Wait() })
	return w
}

// progress waits until n more writes were acknowledged.
func (w *writers) progress(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.wrote) + len(w.failed)
	}
	begin := count()
	until(t, "the writers go on", func() bool { return count() >= begin+n })
}

// end stops the writers, and wants every write acknowledged and there.
func (w *writers) end(t *testing.T, n *lab.Node) {
	t.Helper()
	w.stop()
	w.wg.Wait()
	for i, err := range w.failed[:min(3, len(w.failed))] {
		t.Errorf("of %d failed writes, number %d: %v", len(w.failed), i, err)
	}
	pairs, _, err := n.API(t).KV().List("w/", nil)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, p := range pairs {
		found[p.Key] = string(p.Value)
	}
	if !maps.Equal(found, w.wrote) {
		t.Errorf("%d keys were written and %d are there", len(w.wrote), len(found))
	}
}

func TestLeaderLeavesAndRestartsWithoutAGap(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3), lab.Clients("shanghai", 1), lab.Steady(),
		lab.Flags("-hcl", `autopilot { server_stabilization_time = "500ms" }`))
	dc, client := fed.DC("shanghai"), fed.Node("shanghai-c1")
	w := write(t, client, 4)
	w.progress(t, 20)
	dc.Leader(t).Restart(t)
	w.progress(t, 20)
	dc.WaitWhole(t)

	leader := dc.Leader(t)
	if a, err := leader.Do(t.Context(), http.MethodPut, "/v1/agent/leave", ""); err != nil || a.Err() != nil {
		t.Fatalf("leave: %v %v", a, err)
	}
	leader.WaitEnd(t)
	w.progress(t, 20)
	dc.WaitWhole(t) // two servers and the client: in gossip, the catalog and the log
	w.end(t, client)

	leader.Start(t) // the one that left may come back
	dc.WaitWhole(t)
	leader.WaitFor(t, "w/0/0", "0")
}

func TestForceLeaveForgetsAFailedNode(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3), lab.Clients("shanghai", 2), lab.QuickGossip())
	dc, client := fed.DC("shanghai"), fed.Node("shanghai-c1")
	api := client.API(t).Agent()
	if err := api.ForceLeave("nobody"); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("force-leave of nobody: %v", err)
	}
	for _, gone := range []*lab.Node{fed.Node("shanghai-c2"), dc.Followers(t)[0]} {
		gone.Kill(t)
		client.WaitHealth(t, gone.Name, "critical")
		if err := api.ForceLeave(gone.Name); err != nil {
			t.Fatal(err)
		}
	}
	dc.WaitWhole(t)
}

func TestRestartOfAllKeepsTheData(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3))
	dc := fed.DC("shanghai")
	dc.Put(t, "a", "1")
	node, _, err := dc.Nodes[0].API(t).Catalog().Node(dc.Nodes[0].Name, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range dc.Nodes {
		n.Stop(t)
	}
	for _, n := range dc.Nodes {
		n.Start(t)
	}
	dc.WaitWhole(t)
	dc.WaitFor(t, "a", "1")
	again, _, err := dc.Nodes[0].API(t).Catalog().Node(dc.Nodes[0].Name, nil)
	if err != nil || again.Node.ID != node.Node.ID || again.Node.ID == "" {
		t.Errorf("the node ID is %v after %v (%v)", again, node, err)
	}
}

func TestAgentThatLeftComesBackWhereThatIsSet(t *testing.T) {
	server := start(t, "-dev", "-node", "server")
	addr, dir := address(), t.TempDir()
	flags := []string{"-dev", "-server=false", "-node", "client", "-data-dir", dir, "-rejoin"}
	first := startAt(t, addr, append(flags, "-join", server.addr)...)
	first.put(t, "a", "1")
	if status, text, err := first.do(http.MethodPut, "/v1/agent/leave", ""); err != nil || status != http.StatusOK {
		t.Fatalf("leave answered %d %q (%v)", status, text, err)
	}
	first.wait(t)
	again := startAt(t, addr, flags...)
	again.put(t, "a", "2")
}

func TestNodeTellsItsMetaAndItsAddresses(t *testing.T) {
	server := start(t, "-dev", "-node", "server")
	addr, dir := address(), t.TempDir()
	tell := func(meta, wan string) {
		a := startAt(t, addr, "-dev", "-server=false", "-node", "client", "-data-dir", dir, "-join", server.addr,
			"-node-meta", "rack:"+meta, "-advertise-wan", wan)
		lab.Until(t, "the catalog has what the node says", func() error {
			var node api.CatalogNode
			if err := server.ask("/v1/catalog/node/client", &node); err != nil || node.Node == nil {
				return errorOf(err, node)
			}
			n := node.Node
			if n.Meta["rack"] != meta || n.Meta["consul-version"] == "" || n.TaggedAddresses["wan"] != wan || n.TaggedAddresses["lan"] != addr || n.Datacenter != "dc1" {
				return fmt.Errorf("it has %+v", n)
			}
			return nil
		})
		lab.Until(t, "the node is healthy", func() error {
			var checks []api.HealthCheck
			err := server.ask("/v1/health/node/client", &checks)
			if err == nil && (len(checks) != 1 || checks[0].Status != "passing") {
				err = errorOf(nil, checks)
			}
			return err
		})
		a.stop(t)
	}
	tell("a1", "198.51.100.1")
	tell("b2", "198.51.100.2")
}
