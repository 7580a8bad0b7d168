package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// follow prints what nodes say until all is said, or nobody says anything.
func (r *execRequest) follow(ctx context.Context, std stdio, client *api.Client) error {
	began := time.Now()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	news, failed := make(chan nodeNews), make(chan error, 1)
	go func() { failed <- r.read(ctx, client, news) }()

	report := &execReport{std: std, say: func(format string, args ...any) { r.say(std, format, args...) }, lines: map[string]string{}}
	interrupted := false
	for listening := true; listening; {
		patience := r.job.Wait
		if report.exited < report.acknowledged {
			patience *= 2 // a node that works says so after half the time, and other agents after all of it
		}
		quiet := time.NewTimer(patience)
		select {
		case n := <-news:
			report.take(n)
		case <-quiet.C:
			listening = false
		case err := <-failed:
			if err != nil && ctx.Err() == nil {
				return failf("Failed to read results: %s", err)
			}
			listening, interrupted = false, true
		}
		quiet.Stop()
	}
	fmt.Fprintf(std.out, "%d / %d node(s) completed / acknowledged\n", report.exited, report.acknowledged)
	r.say(std, "Completed in %0.2f seconds", time.Since(began).Seconds())
	switch {
	case interrupted:
		return silentExit(exitFailed)
	case report.failed || report.exited < report.acknowledged:
		return silentExit(exitJobFailed)
	}
	return nil
}

// nodeNews is a key that a node has written.
type nodeNews struct {
	node, what string
	value      []byte
}

// readAttempts is how often in a row reading may fail, a second apart.
const readAttempts = 5

// read passes on each key below the job's folder, once and in order, until ctx ends.
func (r *execRequest) read(ctx context.Context, client *api.Client, news chan<- nodeNews) error {
	seen := map[string]bool{}
	index, failures := uint64(0), 0
	for {
		keys, meta, err := client.KV().Keys(r.order.Folder(), "", (&api.QueryOptions{WaitIndex: index, AllowStale: r.client.stale}).WithContext(ctx))
		if err == nil {
			err = r.passOn(ctx, client, keys, seen, news)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			index, failures = meta.LastIndex, 0
			continue
		}
		if failures++; failures == readAttempts {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}

// passOn reads the keys that were not seen before. Keys come sorted, so the exit code of
// a node stands before the output that it follows.
func (r *execRequest) passOn(ctx context.Context, client *api.Client, keys []string, seen map[string]bool, news chan<- nodeNews) error {
	var exits []string
	read := func(key string) error {
		node, what, ours := strings.Cut(strings.TrimPrefix(key, r.order.Folder()), "/")
		if !ours {
			return nil
		}
		pair, _, err := client.KV().Get(key, (&api.QueryOptions{}).WithContext(ctx))
		if err != nil {
			return fmt.Errorf("key '%s': %w", key, err)
		}
		if pair == nil {
			return nil
		}
		seen[key] = true
		select {
		case news <- nodeNews{node, what, pair.Value}:
		case <-ctx.Done():
		}
		return nil
	}
	for _, key := range keys {
		switch {
		case seen[key]:
		case strings.HasSuffix(key, "/exit"):
			exits = append(exits, key)
		default:
			if err := read(key); err != nil {
				return err
			}
		}
	}
	for _, key := range exits {
		if err := read(key); err != nil {
			return err
		}
	}
	return nil
}

// execReport is what was heard.
type execReport struct {
	std                  stdio
	say                  func(format string, args ...any)
	acknowledged, exited int
	failed               bool
	lines                map[string]string // by node, the beginning of a line that goes on
}

func (e *execReport) take(n nodeNews) {
	switch kind, _, _ := strings.Cut(n.what, "/"); kind {
	case "ack":
		e.acknowledged++
		e.say("==> %s: acknowledged event", n.node)
	case "out":
		whole, rest := e.lines[n.node]+string(n.value), ""
		if i := strings.LastIndexByte(whole, '\n'); i >= 0 {
			whole, rest = whole[:i+1], whole[i+1:]
		} else {
			whole, rest = "", whole
		}
		e.lines[n.node] = rest
		e.print(n.node, whole)
	case "exit":
		e.print(n.node, e.lines[n.node])
		delete(e.lines, n.node)
		e.exited++
		code, err := strconv.Atoi(strings.TrimSpace(string(n.value)))
		if err != nil {
			code = -1
		}
		e.failed = e.failed || code != 0
		fmt.Fprintf(e.std.out, "==> %s: finished with exit code %d\n", n.node, code)
	}
}

// print shows lines with the name of their node before them.
func (e *execReport) print(node, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(e.std.out, "    %s: %s\n", node, strings.TrimRight(line, "\r\n"))
	}
}
