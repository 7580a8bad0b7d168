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
}

func (p pair) entry() replicate.Entry {
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
	l := &replicate.Listing{
		KnownLeader: r.Header.Get("X-Consul-Knownleader") == "true",
		Filtered:    r.Header.Get("X-Consul-Results-Filtered-By-Acls") == "true",
		Close:       r.Close,
	}
	l.Datacenter, l.Incarnation = r.Header.Get("X-Hanse-Datacenter-Id"), r.Header.Get("X-Hanse-Incarnation")
	var contact uint64
	for header, to := range map[string]*uint64{"X-Consul-Index": &l.Index, "X-Consul-Lastcontact": &contact} {
		if err := headerNumber(r.Header, header, to); err != nil {
			return nil, 0, r.explain(err)
		}
	}
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
	return l, time.Duration(min(contact, 1<<40)) * time.Millisecond, nil
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
		if p.Key == "" || !strings.HasPrefix(p.Key, prefix) {
			return fmt.Errorf("entry %d of the list has the key %q, which does not begin with %q", n, p.Key, prefix)
		}
		if !yield(p.entry()) {
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
