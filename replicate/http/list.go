package replicatehttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-project/hanse/replicate"
)

// pair is an entry as the API shows it.
type pair struct {
	Key         string
	Value       []byte
	Flags       uint64
	CreateIndex uint64
	ModifyIndex uint64

	// KeyBytes is the key where JSON cannot carry it, from those who know better.
	KeyBytes []byte
}

func (p pair) entry() replicate.Entry {
	if len(p.KeyBytes) > 0 {
		p.Key = string(p.KeyBytes)
	}
	return replicate.Entry{Key: p.Key, Value: p.Value, Flags: p.Flags, CreateIndex: p.CreateIndex, ModifyIndex: p.ModifyIndex}
}

// list asks for everything under prefix.
func (a *Agent) list(ctx context.Context, prefix string, params url.Values, patience time.Duration) (*replicate.Listing, time.Duration, error) {
	params.Set("recurse", "")
	r, err := a.do(ctx, http.MethodGet, "/v1/kv/"+prefix, params, nil, patience)
	if err != nil {
		return nil, 0, err
	}
	listing, contact, err := r.listing(prefix)
	if err != nil {
		r.Close()
		return nil, 0, err
	}
	return listing, contact, nil
}

// listing reads the head of the answer, and how long ago the server that gave it
// last heard from its leader.
func (r *response) listing(prefix string) (*replicate.Listing, time.Duration, error) {
	h, err := r.head()
	if err != nil {
		return nil, 0, r.explain(err)
	}
	l := &replicate.Listing{Position: h.Position, KnownLeader: h.knownLeader, Filtered: h.filtered, Close: r.Close}
	switch {
	case r.StatusCode == http.StatusOK:
		l.Entries = r.entries(prefix)
	case r.StatusCode == http.StatusNotFound && r.Header.Get("X-Consul-Index") != "":
		if n, err := io.CopyN(io.Discard, r, 1); n > 0 || !errors.Is(err, io.EOF) {
			return nil, 0, r.explain(errors.New("404 with a body, which is not how the KV API says that there are no keys"))
		}
		l.Entries = func(func(replicate.Entry, error) bool) {}
	default:
		return nil, 0, r.want(http.StatusOK)
	}
	return l, h.contact, nil
}

// head is what the headers of an answer say of it. contact is how long ago the server that
// gave it last heard from its leader.
type head struct {
	replicate.Position
	knownLeader, filtered bool
	contact               time.Duration
}

func (r *response) head() (head, error) {
	h := head{
		knownLeader: r.Header.Get("X-Consul-Knownleader") == "true",
		filtered:    r.Header.Get("X-Consul-Results-Filtered-By-Acls") == "true",
	}
	h.Datacenter, h.Incarnation = r.Header.Get("X-Hanse-Datacenter-Id"), r.Header.Get("X-Hanse-Incarnation")
	var contact uint64
	err := errors.Join(headerNumber(r.Header, "X-Consul-Index", &h.Index), headerNumber(r.Header, "X-Consul-Lastcontact", &contact))
	h.contact = time.Duration(min(contact, 1<<40)) * time.Millisecond
	return h, err
}

func headerNumber(h http.Header, name string, to *uint64) error {
	text := h.Get(name)
	if text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("header %s is %q, not a number", name, text)
	}
	*to = n
	return nil
}

// entries decodes the body while it arrives.
func (r *response) entries(prefix string) iter.Seq2[replicate.Entry, error] {
	return func(yield func(replicate.Entry, error) bool) {
		err := decodeEntries(r, prefix, func(e replicate.Entry) bool { return yield(e, nil) })
		if err != nil {
			yield(replicate.Entry{}, r.explain(err))
		}
	}
}

// decodeEntries reads a list of entries and nothing after it. It stops without an
// error when yield returns false.
func decodeEntries(body io.Reader, prefix string, yield func(replicate.Entry) bool) error {
	dec := json.NewDecoder(body)
	if token, err := dec.Token(); err != nil {
		return fmt.Errorf("the list does not begin: %w", whole(err))
	} else if token != json.Delim('[') {
		return fmt.Errorf("the answer is not a list but begins with %v", token)
	}
	for n := 0; dec.More(); n++ {
		var p pair
		if err := dec.Decode(&p); err != nil {
			return fmt.Errorf("entry %d of the list: %w", n, whole(err))
		}
		e := p.entry()
		if e.Key == "" || !strings.HasPrefix(e.Key, prefix) {
			return fmt.Errorf("entry %d of the list has the key %q, which does not begin with %q", n, e.Key, prefix)
		}
		if !yield(e) {
			return nil
		}
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("the list does not end: %w", whole(err))
	}
	switch _, err := dec.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("after the list: %w", err)
	}
	return errors.New("something follows the list")
}

// whole makes a clean end in the wrong place an error of its own.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
