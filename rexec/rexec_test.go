package rexec

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestOutputIsCollectedIntoPieces(t *testing.T) {
	out := newOutput()
	fmt.Fprint(out, "a")
	fmt.Fprint(out, "b")
	if piece, more := out.next(time.Hour); string(piece) != "ab" || !more {
		t.Errorf("the first piece is %q, %v", piece, more)
	}
	if piece, more := out.next(time.Millisecond); len(piece) != 0 || !more {
		t.Errorf("a silence is %q, %v", piece, more)
	}
	_, _ = out.Write(bytes.Repeat([]byte("x"), pieceSize+10))
	if piece, more := out.next(time.Hour); len(piece) != pieceSize || !more {
		t.Errorf("a large piece has %d bytes, %v", len(piece), more)
	}
	out.close()
	if piece, more := out.next(time.Hour); len(piece) != 10 || more {
		t.Errorf("the last piece has %d bytes, %v", len(piece), more)
	}
}

func TestOutputIsCut(t *testing.T) {
	out := newOutput()
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range 300 {
			_, _ = out.Write(bytes.Repeat([]byte("x"), 10_000))
		}
		out.close()
	}()
	var all []byte
	for more := true; more; {
		var piece []byte
		if piece, more = out.next(time.Hour); len(piece) > pieceSize {
			t.Fatalf("a piece has %d bytes", len(piece))
		}
		all = append(all, piece...)
	}
	<-written
	said := fmt.Sprintf("\n[the first %d of 3000000 bytes were sent]\n", MaxOutput)
	if len(all) != MaxOutput+len(said) || !strings.HasSuffix(string(all), said) {
		t.Errorf("%d bytes were sent, and the end is %q", len(all), all[len(all)-60:])
	}
}

func TestWhatCannotBeRunIsRefused(t *testing.T) {
	for _, payload := range []string{"", "{", "[]", `{"Prefix":"_rexec"}`, `{"Session":"a"}`, `{"Prefix":"_rexec","Session":"a/b"}`} {
		if o, err := parseOrder([]byte(payload)); err == nil {
			t.Errorf("%s is an order: %+v", payload, o)
		}
	}
	for _, value := range []string{"", "null", "{}", `{"Wait":5}`, `{"Args":[""]}`, `{"Command":7}`, `{"Script":"no base64!"}`} {
		if j, err := parseJob([]byte(value)); err == nil {
			t.Errorf("%s is a job: %+v", value, j)
		}
	}
	// As Consul's command line, and others', write it.
	o, err := parseOrder([]byte(`{"Prefix":"_rexec","Session":"8a4e1c1e"}`))
	if err != nil || o.JobKey() != "_rexec/8a4e1c1e/job" {
		t.Errorf("%+v, %v", o, err)
	}
	j, err := parseJob([]byte(`{"Command":"uptime","Args":null,"Script":null,"Wait":2000000000}`))
	if err != nil || j.Command != "uptime" || j.heartbeat() != time.Second {
		t.Errorf("%+v, %v", j, err)
	}
}

func FuzzOrderAndJob(f *testing.F) {
	f.Add([]byte(`{"Prefix":"_rexec","Session":"8a4e1c1e"}`))
	f.Add([]byte(`{"Command":"uptime","Args":["a"],"Script":"ZWNobw==","Wait":2000000000}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if o, err := parseOrder(text); err == nil && !strings.HasPrefix(o.JobKey(), o.Prefix) {
			t.Errorf("the job of %+v is at %s", o, o.JobKey())
		}
		if j, err := parseJob(text); err == nil && (j.heartbeat() < minHeartbeat || j.heartbeat() > maxHeartbeat) {
			t.Errorf("the heartbeat of %+v is %v", j, j.heartbeat())
		}
	})
}
