package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// logServer answers with lines of a log, and then stays or ends.
func logServer(t *testing.T, ends bool, heard chan<- string) {
	t.Helper()
	serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
		heard <- r.URL.RequestURI()
		io.WriteString(w, "first\nsecond\n")
		w.(http.Flusher).Flush()
		if !ends {
			<-r.Context().Done()
		}
	})
}

func TestMonitorEndsWithTheAgent(t *testing.T) {
	heard := make(chan string, 1)
	logServer(t, true, heard)
	stdout, stderr, exit := hanse(t, "", "monitor", "-log-level=debug", "-log-json")
	if exit != 1 || stderr != "" || stdout != "first\nsecond\n"+remoteEnded+"\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", exit, stdout, stderr)
	}
	if asked := <-heard; asked != "/v1/agent/monitor?logjson=true&loglevel=debug" {
		t.Errorf("it asked for %s", asked)
	}
}

func TestMonitorEndsWhenInterrupted(t *testing.T) {
	heard := make(chan string, 1)
	logServer(t, false, heard)
	ctx, interrupt := context.WithCancel(t.Context())
	read, written := io.Pipe()
	exit := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		exit <- run(ctx, []string{"monitor"}, stdio{strings.NewReader(""), written, &stderr})
	}()
	lines := make([]byte, len("first\nsecond\n"))
	if _, err := io.ReadFull(read, lines); err != nil || string(lines) != "first\nsecond\n" {
		t.Errorf("read %q (%v)", lines, err)
	}
	interrupt()
	if code := <-exit; code != 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d, stderr %s", code, &stderr)
	}
}

func TestMonitorSaysWhyItCannotBegin(t *testing.T) {
	serveAgent(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, "Unknown log level: loud")
	})
	stdout, stderr, exit := hanse(t, "", "monitor", "-log-level=loud")
	if exit != 1 || stdout != "" || stderr != "Error starting monitor: Unexpected response code: 400 (Unknown log level: loud)\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", exit, stdout, stderr)
	}
}
