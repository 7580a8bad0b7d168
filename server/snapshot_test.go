package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/consensus/archive"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/test/lab"
)

// archiving asks something of n's archives, again where an election or a pause of the
// machine was in the way.
func archiving(t *testing.T, n *lab.Node, method, query, body string) (a *lab.Answer) {
	t.Helper()
	lab.Until(t, method+" of a snapshot at "+n.Name, func() (err error) {
		if a, err = n.Do(t.Context(), method, "/v1/snapshot"+query, body); err != nil {
			t.Fatal(err)
		}
		switch rpc.Reason(a.Reason()) {
		case rpc.ReasonNoLeader, rpc.ReasonNoRemoteLeader, rpc.ReasonUnknownOutcome,
			rpc.ReasonNoLiveServer, rpc.ReasonBreakerOpen, rpc.ReasonTimeout, rpc.ReasonConnection:
			return a.Err()
		}
		return nil
	})
	return a
}

// save takes an archive at n, of its own datacenter or of another.
func save(t *testing.T, n *lab.Node, query string) []byte {
	t.Helper()
	a := archiving(t, n, http.MethodGet, query, "")
	if a.Status != http.StatusOK {
		t.Fatalf("save at %s: %d %s", n.Name, a.Status, a.Body)
	}
	if a.Index() == 0 || a.Header.Get("X-Consul-Knownleader") != "true" || a.Header.Get("Content-Type") != "application/x-gzip" {
		t.Errorf("save at %s has headers %v", n.Name, a.Header)
	}
	return a.Body
}

func restore(t *testing.T, n *lab.Node, query string, text []byte) *lab.Answer {
	t.Helper()
	return archiving(t, n, http.MethodPut, query, string(text))
}

// where are the identity and the incarnation that n tells of a datacenter, and the
// index of its keys.
func where(t *testing.T, n *lab.Node, dc string) (id, incarnation string, index uint64) {
	t.Helper()
	a := n.Get(t, "/v1/kv/?recurse&dc="+dc)
	return a.Header.Get("X-Hanse-Datacenter-Id"), a.Header.Get("X-Hanse-Incarnation"), a.Index()
}

func TestSnapshotsThroughEveryAgent(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3), lab.Clients("shanghai", 1), lab.Servers("beijing", 1))
	dc := fed.DC("shanghai")
	dc.Put(t, "a", "old")
	leader, follower, client, abroad := dc.Leader(t), dc.Followers(t)[0], fed.Node("shanghai-c1"), fed.Node("beijing-s1")
	ways := []struct {
		through *lab.Node
		query   string
	}{{leader, ""}, {follower, ""}, {follower, "?stale"}, {client, ""}, {abroad, "?dc=shanghai"}}
	for _, way := range ways {
		text := save(t, way.through, way.query)
		a, err := archive.Read(bytes.NewReader(text), t.TempDir(), 1<<30)
		if err != nil {
			t.Errorf("the archive saved at %s%s: %v", way.through.Name, way.query, err)
			continue
		}
		a.Close()
		dc.Put(t, "a", "new")
		id, incarnation, index := where(t, abroad, "shanghai")
		if way.query == "?stale" {
			way.query = "" // which is for saving
		}
		if a := restore(t, way.through, way.query, text); a.Status != http.StatusOK {
			t.Fatalf("restore at %s: %d %s", way.through.Name, a.Status, a.Body)
		}
		dc.WaitFor(t, "a", "old")
		dc.WaitWhole(t) // our own nodes are back in the catalog
		id2, incarnation2, index2 := where(t, abroad, "shanghai")
		if id2 != id || id == "" || incarnation2 == incarnation || index2 <= index {
			t.Errorf("restored through %s: ID %s after %s, incarnation %s after %s, index %d after %d",
				way.through.Name, id2, id, incarnation2, incarnation, index2, index)
		}
	}
	if id, _, _ := where(t, abroad, "beijing"); id == "" {
		t.Error("beijing has no ID")
	}
	id, incarnation, index := where(t, leader, "shanghai")
	for _, n := range dc.Servers() {
		n.Stop(t)
	}
	for _, n := range dc.Servers() {
		n.Start(t)
	}
	dc.WaitFor(t, "a", "old")
	for _, n := range dc.Servers() {
		if id2, incarnation2, index2 := where(t, n, "shanghai"); id2 != id || incarnation2 != incarnation || index2 < index {
			t.Errorf("after a restart: ID %s after %s, incarnation %s after %s, index %d after %d", id2, id, incarnation2, incarnation, index2, index)
		}
	}
}

func TestRestoreUnderWrites(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3), lab.Clients("shanghai", 1))
	dc, client := fed.DC("shanghai"), fed.Node("shanghai-c1")
	dc.Put(t, "kept", "1")
	text := save(t, dc.Leader(t), "")
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	var before, after atomic.Int64
	var restored atomic.Bool
	for i := range 4 {
		writers.Go(func() {
			for k := 0; ctx.Err() == nil; k++ {
				count := &before
				if restored.Load() {
					count = &after
				}
				a, err := client.Do(t.Context(), http.MethodPut, fmt.Sprintf("/v1/kv/w/%d/%d/%t", i, k, restored.Load()), "x")
				if err == nil && a.Status == http.StatusOK {
					count.Add(1)
				}
			}
		})
	}
	defer writers.Wait()
	defer stop()
	lab.Until(t, "writes go on", func() error { return atLeast(&before, 50) })
	if a := restore(t, dc.Followers(t)[0], "", text); a.Status != http.StatusOK {
		t.Fatalf("restore: %d %s", a.Status, a.Body)
	}
	restored.Store(true)
	lab.Until(t, "writes go on after the restore", func() error { return atLeast(&after, 50) })
	stop()
	writers.Wait()
	dc.WaitFor(t, "kept", "1")
	dc.WaitWhole(t)
	var first api.KVPairs
	for _, n := range dc.Servers() { // all servers hold the same
		pairs, _, err := n.API(t).KV().List("", &api.QueryOptions{RequireConsistent: true})
		if err != nil {
			t.Fatal(err)
		}
		late := 0
		for i, p := range pairs {
			if strings.HasSuffix(p.Key, "/true") {
				late++
			}
			if first != nil && (i >= len(first) || first[i].Key != p.Key || first[i].ModifyIndex != p.ModifyIndex) {
				t.Fatalf("%s holds %s at %d", n.Name, p.Key, p.ModifyIndex)
			}
		}
		if int64(late) < after.Load() {
			t.Errorf("%s holds %d writes from after the restore, %d were acknowledged", n.Name, late, after.Load())
		}
		first = pairs
	}
}

func atLeast(n *atomic.Int64, want int64) error {
	if got := n.Load(); got < want {
		return fmt.Errorf("%d of %d", got, want)
	}
	return nil
}

func TestArchivesThatAreRefused(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Clients("shanghai", 1), lab.Servers("beijing", 1))
	dc := fed.DC("shanghai")
	dc.Put(t, "a", "1")
	good := save(t, dc.Nodes[0], "")
	dc.Put(t, "a", "2")
	_, incarnation, _ := where(t, dc.Nodes[0], "shanghai")
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 0xff
	for _, through := range []struct {
		n     *lab.Node
		query string
	}{{dc.Nodes[0], ""}, {fed.Node("shanghai-c1"), ""}, {fed.Node("beijing-s1"), "?dc=shanghai"}} {
		for name, text := range map[string][]byte{
			"nothing": nil, "garbage": []byte("not a snapshot"), "half an archive": good[:len(good)/2],
			"all but the last byte": good[:len(good)-1], "a changed byte": flipped,
		} {
			a := restore(t, through.n, through.query, text)
			if a.Status != http.StatusInternalServerError || !strings.Contains(string(a.Body), "not a valid snapshot archive") {
				t.Errorf("%s at %s: %d %s", name, through.n.Name, a.Status, a.Body)
			}
		}
	}
	if _, now, _ := where(t, dc.Nodes[0], "shanghai"); now != incarnation {
		t.Error("an archive that was refused has begun a new incarnation")
	}
	dc.WaitFor(t, "a", "2")
	a := restore(t, dc.Nodes[0], "?dc=nowhere", good)
	if a.Status != http.StatusInternalServerError || a.Reason() != "unknown_dc" {
		t.Errorf("restore into nowhere: %d %s", a.Status, a.Body)
	}
}

// A server that dies while it sends must not be taken for the end of the archive.
func TestArchiveThatEndsEarlyIsNoticed(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1))
	whole := save(t, fed.DC("shanghai").Nodes[0], "")
	for _, length := range []int{0, 1, len(whole) / 2, len(whole) - 1, len(whole)} {
		remote := operator.RemoteSnapshots{Open: func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				defer there.Close()
				var req operator.SnapshotRequest
				if codec.NewDecoder(there, rpc.Msgpack).Decode(&req) == nil {
					codec.NewEncoder(there, rpc.Msgpack).Encode(map[string]any{"Error": "", "Index": 7})
					there.Write(whole[:length])
				}
			}()
			return here, nil
		}}
		var got bytes.Buffer
		index := uint64(0)
		err := remote.Save(t.Context(), &operator.SnapshotRequest{Datacenter: "shanghai"}, &got, func(m *rpc.Meta) { index = m.Index })
		if index != 7 || !bytes.Equal(got.Bytes(), whole[:length]) {
			t.Errorf("of %d bytes %d arrived at index %d", length, got.Len(), index)
		}
		if cut := length < len(whole); (err != nil) != cut || cut && length > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %v", length, len(whole), err)
		}
	}
}

func TestArchiveOfConsulIsTakenOver(t *testing.T) {
	text, err := os.ReadFile("../catalog/testdata/consul-1.21.4.snap")
	if err != nil {
		t.Fatal(err)
	}
	fed := lab.Start(t, lab.Servers("beijing", 3))
	dc := fed.DC("beijing")
	follower := dc.Followers(t)[0]
	if a := restore(t, follower, "", text); a.Status != http.StatusOK || !strings.Contains(string(a.Body), "Skipped") {
		t.Fatalf("restore: %d %s", a.Status, a.Body)
	}
	var names []string
	for _, n := range dc.Nodes {
		names = append(names, n.Name)
	}
	lab.Until(t, "our nodes are there beside those of the archive", func() error {
		nodes, _, err := follower.API(t).Catalog().Nodes(nil)
		if err != nil {
			return err
		}
		found := 0
		for _, n := range nodes {
			if n.Datacenter != "beijing" {
				t.Fatalf("node %s is in %s", n.Node, n.Datacenter)
			}
			for _, name := range names {
				if n.Node == name {
					found++
				}
			}
		}
		if found != len(names) || len(nodes) <= found {
			return fmt.Errorf("%d of ours among %d", found, len(nodes))
		}
		return nil
	})
	if places, _, err := follower.API(t).Coordinate().Node("ext1", nil); err != nil || len(places) != 1 || places[0].Coord.Adjustment != -0.0001 {
		t.Errorf("ext1 is at %v (%v)", places, err)
	}
	services, _, err := follower.API(t).Catalog().Service("web", "", nil)
	if err != nil || len(services) == 0 {
		t.Errorf("the instances of web are %v (%v)", services, err)
	}
	for _, s := range services {
		if s.Datacenter != "beijing" {
			t.Errorf("an instance of web is in %s", s.Datacenter)
		}
	}
}
