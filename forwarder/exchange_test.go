package forwarder

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
)

// exchange is a recorded call between other servers. The reply's hex is "" where the
// server closed the stream instead.
type exchange struct {
	Method, Note, Error string
	RequestHeader       hexBytes `json:"request_header_hex"`
	RequestBody         hexBytes `json:"request_body_hex"`
	ResponseHeader      hexBytes `json:"response_header_hex"`
	ResponseBody        hexBytes `json:"response_body_hex"`
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func recorded(t testing.TB) (all []exchange) {
	t.Helper()
	data, err := os.ReadFile("testdata/exchanges.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var e exchange
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// replay answers each recorded request with the recorded reply.
type replay struct {
	t testing.TB
	exchange
}

// Serve implements Dispatcher.
func (r replay) Serve(_ context.Context, method string, decode func(rpc.Request) error) (any, error) {
	if method != r.Method {
		r.t.Errorf("the method is %q, want %q", method, r.Method)
	}
	if err := decode(new(rpc.Empty)); err != nil {
		r.t.Errorf("decode: %v", err)
	}
	if r.Error != "" {
		return nil, rpc.FromWire(r.Error, "")
	}
	reply := replyOf(r.Method)
	if err := codec.NewDecoderBytes(r.ResponseBody, rpc.Msgpack).Decode(reply); err != nil {
		r.t.Errorf("decode the recorded reply: %v", err)
	}
	return reply, nil
}

// RecordedMeta and recordedEntries are the shapes of recorded replies.
type RecordedMeta struct {
	Backend               int
	ConsistencyLevel      string
	Index                 uint64
	KnownLeader           bool
	LastContact           time.Duration
	NotModified           bool
	ResultsFilteredByACLs bool
}

type recordedEntries struct {
	Entries []*struct {
		CreateIndex, ModifyIndex, LockIndex, Flags uint64
		Key, Session                               string
		Value                                      []byte
	}
	RecordedMeta
}

// replyOf makes the reply of a method.
func replyOf(method string) any {
	switch method {
	case "KVS.Get", "KVS.List":
		return new(recordedEntries)
	case "KVS.Apply":
		return new(bool)
	case "Status.Leader":
		return new(string)
	}
	return new(rpc.Nothing)
}

func TestRecordedRequestsAreReadAndAnsweredByteForByte(t *testing.T) {
	for _, e := range recorded(t) {
		if len(e.ResponseHeader) == 0 {
			continue
		}
		t.Run(e.Method+": "+e.Note, func(t *testing.T) {
			reason := rpc.ReasonOf(rpc.FromWire(e.Error, ""))
			client, server := net.Pipe()
			defer client.Close()
			l := NewListener(ListenerConfig{Dispatcher: replay{t, e}})
			served := make(chan struct{})
			go func() {
				defer close(served)
				defer server.Close()
				l.serveStream(t.Context(), server)
			}()
			if _, err := client.Write(append(bytes.Clone(e.RequestHeader), e.RequestBody...)); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(client)
			m := newMessage()
			if err := m.read(r, maxHeader); err != nil {
				t.Fatal(err)
			}
			h, err := parseHeader(m.head)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(e.Method, ".") {
				reason = rpc.ReasonInvalid
			}
			if h.reason != reason {
				t.Errorf("the reason is %q, want %q", h.reason, reason)
			}
			h.reason = "" // which other servers do not send
			if got := h.appendReply(nil); !bytes.Equal(got, e.ResponseHeader) {
				t.Errorf("header:\n got %x\nwant %x", got, e.ResponseHeader)
			}
			if !bytes.Equal(m.body, e.ResponseBody) {
				t.Errorf("body:\n got %x\nwant %x", m.body, e.ResponseBody)
			}
			client.Close()
			<-served
		})
	}
}

func TestHeadersAreWrittenAsOthersWriteThem(t *testing.T) {
	for _, e := range recorded(t) {
		h, err := parseHeader(e.RequestHeader)
		if err != nil {
			t.Fatalf("%s: %v", e.Note, err)
		}
		if h.method != e.Method || h.seq == 0 && e.Method != "Status.Ping" && !strings.HasPrefix(e.Note, "found") {
			t.Errorf("%s: read %+v", e.Note, h)
		}
		if strings.Contains(e.Note, "header") {
			continue // these were made by hand, in another order or with more in them
		}
		if got := h.appendRequest(nil); !bytes.Equal(got, e.RequestHeader) {
			t.Errorf("%s: got %x, want %x", e.Note, got, e.RequestHeader)
		}
	}
}

func TestRecordedRepliesAreUnderstood(t *testing.T) {
	for _, e := range recorded(t) {
		t.Run(e.Method+": "+e.Note, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			go func() {
				defer server.Close()
				r := bufio.NewReader(server)
				if err := new(message).read(r, 1<<20); err != nil {
					t.Errorf("read the request: %v", err)
				}
				server.Write(append(bytes.Clone(e.ResponseHeader), e.ResponseBody...))
			}()
			m := newMessage()
			m.head, m.body = e.RequestHeader, e.RequestBody
			if err := m.write(client, time.Minute); err != nil {
				t.Fatal(err)
			}
			answer := newMessage()
			err := answer.read(bufio.NewReader(client), 1<<20)
			if len(e.ResponseHeader) == 0 {
				if !errors.Is(err, io.EOF) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			h, err := parseHeader(answer.head)
			if err != nil || h.err != e.Error || h.method != e.Method {
				t.Fatalf("got %+v, %v", h, err)
			}
			if !bytes.Equal(answer.body, e.ResponseBody) {
				t.Fatalf("got %x", answer.body)
			}
		})
	}
}
