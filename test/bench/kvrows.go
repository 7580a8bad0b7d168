package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
)

// loadSection puts the same load on datacenters of different sizes. The targets are
// those of three servers.
func loadSection(name string, size int) section {
	rows := []row{
		{"put c=64", loadRow{what: "KV put 128 B, c=64", target: "10k/s; 130 µs", consul: "5,072/s; 278 µs", workers: 64, request: putRequest}.run},
		{"put c=1", loadRow{what: "KV put 128 B, c=1: p50; p99", target: "0.7; 2 ms", consul: "1.0; 3.5 ms", workers: 1, request: putRequest, latency: true}.run},
		{"txn", loadRow{what: "txn of 64 sets, c=16", target: "1,500/s", consul: "877/s", workers: 16, request: txnRequest()}.run},
	}
	gets := func(where, mode, target, consul string) row {
		path := "/v1/kv/bench/get/"
		query := ""
		if mode != "default" {
			query = "?" + mode
		}
		return row{"get " + where + " " + mode, loadRow{
			what: "KV get at the " + where + ", c=64: " + mode, target: target, consul: consul,
			workers: 64, follower: where == "follower",
			request: func(buf []byte, worker, n int) []byte {
				return appendGet(buf, path+strconv.Itoa((worker*31+n)%listSize)+query)
			},
		}.run}
	}
	rows = append(rows,
		gets("leader", "default", "40k/s", "24.9k/s"), gets("leader", "stale", "50k/s", "25.0k/s"), gets("leader", "consistent", "40k/s", "16.3k/s"))
	if size > 1 {
		rows = append(rows,
			gets("follower", "default", "25k/s", "12.5k/s"), gets("follower", "stale", "50k/s", "21.8k/s"), gets("follower", "consistent", "25k/s", "10.1k/s"))
	}
	rows = append(rows,
		row{"recurse", loadRow{what: "recurse over 1,000 keys, c=16", target: "4,000/s", consul: "1,984/s", workers: 16,
			request: func(buf []byte, _, _ int) []byte { return appendGet(buf, "/v1/kv/bench/get/?recurse") }}.run},
		row{"watch one", watchRow{"1,000 watchers, one key: PUT to last answer", "15 ms", "37 ms", "/v1/kv/bench/watch/one"}.run},
		row{"watch many", watchManyKeys},
	)
	return section{name: name, rows: rows, open: func(b *bench, s *setup) error {
		servers, err := b.datacenter(s, "bench", size, nil)
		if err != nil {
			return err
		}
		return b.fill(servers[0], listPrefix, listSize)
	}}
}

// listPrefix and listSize are the keys that reads are made of.
const (
	listPrefix = "bench/get/"
	listSize   = 1000
)

// value is what is written: 128 bytes.
var value = func() []byte {
	v := make([]byte, 128)
	for i := range v {
		v[i] = byte('a' + i%26)
	}
	return v
}()

// loadRow is a row that counts operations per second.
type loadRow struct {
	what, target, consul string
	workers              int
	follower             bool // ask a follower, not the leader
	latency              bool // the figure is the latency, not the rate
	request              func(buf []byte, worker, n int) []byte
}

func (l loadRow) run(b *bench, s *setup) error {
	at, others, err := leader(b.ctx, s.agents)
	if err != nil {
		return err
	}
	if l.follower {
		at = others[0]
	}
	r, err := load{addr: at.http, workers: l.workers, span: b.span, servers: s.agents, request: l.request}.run(b.ctx)
	if err != nil {
		return err
	}
	got, note := perSecond(r.rate())+"; "+micros(r.perOp(r.serverCPU)), r.note()+"; CPU enough for "+perSecond(r.undisturbed())
	if l.latency {
		got = fmt.Sprintf("%.2f; %.2f ms", r.at(0.5).Seconds()*1000, r.at(0.99).Seconds()*1000)
		note = r.note()
	}
	b.out.print(line{what: l.what, got: got, target: l.target, consul: l.consul, note: note})
	return nil
}

// putRequest writes to a thousand keys per worker in turn.
func putRequest(buf []byte, worker, n int) []byte {
	path := append(make([]byte, 0, 64), "/v1/kv/bench/put/"...)
	path = strconv.AppendInt(path, int64(worker), 10)
	path = append(path, '/')
	path = strconv.AppendInt(path, int64(n%1000), 10)
	return appendPut(buf, string(path), value)
}

// txnRequest writes 64 keys of a worker's own, the same ones each time.
func txnRequest() func(buf []byte, worker, n int) []byte {
	bodies := make([][]byte, 16)
	for i := range bodies {
		bodies[i] = txnBody(fmt.Sprintf("bench/txn/%d/", i), 0, 64)
	}
	return func(buf []byte, worker, _ int) []byte { return appendPut(buf, "/v1/txn", bodies[worker]) }
}

// txnBody sets the keys prefix+from to prefix+to in one transaction.
func txnBody(prefix string, from, to int) []byte {
	type set struct {
		KV struct{ Verb, Key, Value string }
	}
	ops := make([]set, 0, to-from)
	for n := from; n < to; n++ {
		var op set
		op.KV.Verb, op.KV.Key = "set", prefix+strconv.Itoa(n)
		op.KV.Value = base64.StdEncoding.EncodeToString(value)
		ops = append(ops, op)
	}
	body, err := json.Marshal(ops)
	if err != nil {
		panic("bench: " + err.Error()) // strings always encode
	}
	return body
}

// fill writes count keys below prefix.
func (b *bench) fill(a *agent, prefix string, count int) error {
	const perTxn = 128
	for from := 0; from < count; from += perTxn {
		body := txnBody(prefix, from, min(from+perTxn, count))
		if _, err := a.call(b.ctx, "PUT", "/v1/txn", body); err != nil {
			return fmt.Errorf("fill %s: %w", prefix, err)
		}
	}
	return nil
}
