package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/replicate"
)

const feedLink = "config/@shanghai"

// checkpoint reads what the link remembers.
func (d *dc) checkpoint(t *testing.T) replicate.Checkpoint {
	t.Helper()
	link, err := replicate.ParseLink(feedLink)
	if err != nil {
		t.Fatal(err)
	}
	record, _, err := d.client.KV().Get(replicate.CheckpointKey(replicate.DefaultStatusPath, link), nil)
	if err != nil || record == nil {
		t.Fatal(record, err)
	}
	c, err := replicate.DecodeCheckpoint(record.Value, link)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// counted forwards connections to an address, and counts the bytes of both directions.
func counted(t *testing.T, to string) (addr string, count *atomic.Int64) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	count = &atomic.Int64{}
	carry := func(to, from net.Conn) {
		defer to.Close()
		defer from.Close()
		io.Copy(io.MultiWriter(to, counter64{count}), from)
	}
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			go carry(far, near)
			go carry(near, far)
		}
	}()
	return ln.Addr().String(), count
}

type counter64 struct{ n *atomic.Int64 }

func (c counter64) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

func TestReplicateMovesTheChangeAndNoMore(t *testing.T) {
	source, sink := twoDCs(t)
	source.fill(t, "config/", 20_000)
	proxied := *sink
	var count *atomic.Int64
	proxied.addr, count = counted(t, sink.addr)
	p := start(t, "replicate", "-http-addr", proxied.addr, "-prefix", feedLink)
	await(t, "the daemon is in step", func() bool { return strings.Contains(p.out.String(), "in step") })
	first := count.Load()
	least := first
	for i := range 5 {
		before := count.Load()
		source.put(t, "config/00007", fmt.Sprint("changed ", i), 0)
		await(t, "the change arrives", func() bool {
			pair, _, err := sink.client.KV().Get("config/00007", nil)
			return err == nil && pair != nil && string(pair.Value) == fmt.Sprint("changed ", i)
		})
		// The next question follows. What is measured is then all that the change took.
		for quiet := 0; quiet < 5; quiet++ {
			was := count.Load()
			if time.Sleep(20 * time.Millisecond); count.Load() != was {
				quiet = 0
			}
		}
		least = min(least, count.Load()-before)
	}
	t.Logf("first pass %d bytes, one change %d bytes", first, least)
	if least > 4096 { // between daemon and agent; a tenth of it crosses the WAN
		t.Errorf("one change among 20,000 keys moved %d bytes", least)
	}
}

func TestReplicateGoesOnWithinADeletedTree(t *testing.T) {
	source, sink := twoDCs(t)
	const gone, stay = 5000, 6000
	source.fill(t, "config/tree/", gone)
	source.fill(t, "config/stay/", stay)
	if exit, out := sink.replicateOnce(t, "-prefix", feedLink); exit != 0 {
		t.Fatalf("exit %d\n%s", exit, out)
	}
	if _, err := source.client.KV().DeleteTree("config/tree/", nil); err != nil {
		t.Fatal(err)
	}
	within := 0
	left := func() int {
		names, _, err := sink.client.KV().Keys("config/tree/", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	for n := gone; n > 0; {
		p := start(t, "replicate", "-http-addr", sink.behindTurnstile(t, 10), "-prefix", feedLink, "-lock=false")
		was := n
		await(t, "some more deletes arrive", func() bool { n = left(); return n < was })
		p.signal(t, syscall.SIGKILL)
		p.exit(t)
		if c := sink.checkpoint(t); c.FeedAfter != "" {
			within++
		}
		if strings.Contains(p.out.String(), "comparing everything") {
			t.Errorf("the cursor is of no use:\n%s", p.out)
		}
	}
	sink.replicate(t, "-prefix", feedLink)
	if !maps.Equal(source.contents(t, "config/"), sink.contents(t, "config/")) {
		t.Error("source and destination differ")
	}
	if c := sink.checkpoint(t); within == 0 || c.Deleted != gone || c.Applied != gone+stay {
		t.Errorf("killed within the index %d times; checkpoint %+v", within, c)
	}
}

func TestReplicateComparesWhenItsCursorIsTooOld(t *testing.T) {
	net := freeNet(t)
	source, sink := startDC(t, "shanghai", net+".1", "-hcl", `tombstone_ttl = "1s"`), startDC(t, "beijing", net+".2")
	sink.joins(t, source)
	source.fill(t, "config/", 30)
	p := sink.replicate(t, "-prefix", feedLink)
	p.signal(t, syscall.SIGTERM)
	p.exit(t)
	if _, err := source.client.KV().Delete("config/00003", nil); err != nil {
		t.Fatal(err)
	}
	at := sink.checkpoint(t)
	await(t, "the tombstone is reaped", func() bool {
		resp, err := http.Get(fmt.Sprintf("http://%s/v1/kv/config/?changes&wait=1ms&index=%d", source.addr, at.FeedIndex))
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusGone
	})
	p = sink.replicate(t, "-prefix", feedLink)
	if !strings.Contains(p.out.String(), "comparing everything") || !maps.Equal(source.contents(t, "config/"), sink.contents(t, "config/")) {
		t.Errorf("destination holds %d keys", len(sink.contents(t, "config/")))
	}
}

func TestReplicateFollowsThroughAnElectionAtTheSource(t *testing.T) {
	net := freeNet(t)
	var servers []*dc
	for i := range 3 {
		ip := fmt.Sprintf("%s.%d", net, i+1)
		d := &dc{name: "shanghai", addr: ip + ":8500"}
		d.process = start(t, "agent", "-server", "-bootstrap-expect", "3", "-data-dir", t.TempDir(), "-datacenter", "shanghai", "-node", fmt.Sprint("shanghai-", i+1),
			"-bind", ip, "-client", ip, "-log-level", "warn", "-retry-join", net+".1", "-retry-join", net+".2", "-retry-interval", "200ms")
		var err error
		if d.client, err = api.NewClient(&api.Config{Address: d.addr}); err != nil {
			t.Fatal(err)
		}
		servers = append(servers, d)
	}
	for _, d := range servers {
		await(t, "three servers have a leader", func() bool {
			peers, err := d.client.Status().Peers()
			leader, errLeader := d.client.Status().Leader()
			return err == nil && errLeader == nil && leader != "" && len(peers) == 3
		})
	}
	sink := startDC(t, "beijing", net+".9")
	sink.joins(t, servers[0])
	await(t, "500 keys are written", func() bool { return servers[0].tryFill("config/", 500) == nil }) // a busy machine may elect another leader
	p := sink.replicate(t, "-prefix", feedLink, "-consul-retry-max-backoff", "1s")
	var left []*dc
	await(t, "there is a leader to be killed", func() bool {
		leader, err := servers[0].client.Status().Leader()
		left = slices.DeleteFunc(slices.Clone(servers), func(d *dc) bool {
			ip, _, _ := strings.Cut(d.addr, ":")
			return strings.HasPrefix(leader, ip+":")
		})
		return err == nil && len(left) == 2
	})
	for _, d := range servers {
		if !slices.Contains(left, d) {
			d.process.signal(t, syscall.SIGKILL)
			d.process.exit(t)
		}
	}
	for i := range 50 {
		await(t, "a write", func() bool {
			_, err := left[i%2].client.KV().Put(&api.KVPair{Key: fmt.Sprint("config/new/", i), Value: []byte("x")}, nil)
			return err == nil
		})
	}
	await(t, "a delete", func() bool { _, err := left[0].client.KV().Delete("config/00001", nil); return err == nil })
	await(t, "both are equal", func() bool {
		want, err := left[0].tryContents("config/")
		return err == nil && maps.Equal(want, sink.contents(t, "config/"))
	})
	if strings.Contains(p.out.String(), "comparing everything") {
		t.Error("an election cost a comparison")
	}
}

// TestReplicateFollowsASourceWithoutAFeed puts what does not know the feed before the
// agent: it leaves the parameter out, as Consul and a Hanse from before the feed do.
func TestReplicateFollowsASourceWithoutAFeed(t *testing.T) {
	source, sink := twoDCs(t)
	source.fill(t, "config/", 20)
	for _, consul := range []bool{true, false} {
		for _, folder := range []bool{false, true} {
			if folder {
				source.put(t, "config/", "the answer to a question for the key", 0)
			}
			var feeds atomic.Int64
			proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(&url.URL{Scheme: "http", Host: sink.addr})
				q := r.In.URL.Query()
				if q.Has("changes") {
					feeds.Add(1)
				}
				q.Del("changes")
				q.Del("after")
				r.Out.URL.RawQuery = q.Encode()
			}}
			proxy.ModifyResponse = func(r *http.Response) error {
				if consul {
					r.Header.Del("X-Hanse-Datacenter-Id")
					r.Header.Del("X-Hanse-Incarnation")
				}
				return nil
			}
			srv := httptest.NewServer(proxy)
			p := start(t, "replicate", "-http-addr", strings.TrimPrefix(srv.URL, "http://"), "-prefix", feedLink)
			await(t, "the daemon is in step", func() bool { return strings.Contains(p.out.String(), "in step") })
			value := fmt.Sprint(consul, folder)
			source.put(t, "config/new", value, 0)
			if _, err := source.client.KV().Delete("config/00003", nil); err != nil {
				t.Fatal(err)
			}
			await(t, "the changes arrive", func() bool {
				got := sink.contents(t, "config/")
				return got["new"] == "0:"+value && got["00003"] == ""
			})
			p.signal(t, syscall.SIGTERM)
			if exit := p.exit(t); exit != 0 || strings.Contains(p.out.String(), "failed") {
				t.Errorf("exit %d\n%s", exit, p.out)
			}
			if c := sink.checkpoint(t); c.FeedIndex != 0 || feeds.Load() != 1 {
				t.Errorf("asked %d times, checkpoint %+v", feeds.Load(), c)
			}
			srv.CloseClientConnections()
			srv.Close()
		}
	}
}
