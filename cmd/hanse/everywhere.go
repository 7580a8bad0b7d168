package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"
)

// allDatacenters is the value of -datacenter that asks every datacenter.
const allDatacenters = "*"

// missingDatacenter is one that did not answer a command for all.
type missingDatacenter struct{ Datacenter, Reason string }

// rowsEverywhere is the answer of all datacenters as JSON.
type rowsEverywhere[T any] struct {
	Rows    []T
	Missing []missingDatacenter
}

// everywhere tells whether the command is for all datacenters.
func (c *clientFlags) everywhere() bool { return c.datacenter == allDatacenters }

// missingIn reads which datacenters did not answer, from the headers of an answer.
func missingIn(h http.Header) []missingDatacenter {
	list := []missingDatacenter{} // an empty list in JSON
	for pair := range strings.SplitSeq(h.Get("X-Hanse-Missing-Reasons"), ", ") {
		if dc, reason, ok := strings.Cut(pair, "="); ok {
			list = append(list, missingDatacenter{dc, reason})
		}
	}
	return list
}

// wideTransport adds to requests what the client library has no word for, and notes who is
// missing in the last answer.
type wideTransport struct {
	http.RoundTripper
	flags *clientFlags
}

// RoundTrip implements http.RoundTripper.
func (t wideTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.flags.parameters != nil {
		r = r.Clone(r.Context()) // a transport must leave alone what it is given
		query := r.URL.Query()
		maps.Copy(query, t.flags.parameters)
		r.URL.RawQuery = query.Encode()
	}
	resp, err := t.RoundTripper.RoundTrip(r)
	if err == nil && r.URL.Query().Get("dc") == allDatacenters { // others may be under way side by side
		t.flags.missing = missingIn(resp.Header)
	}
	return resp, err
}

// warnMissing says which datacenters are not in what was printed.
func (c *clientFlags) warnMissing(w io.Writer) {
	for _, m := range c.missing {
		fmt.Fprintf(w, "Datacenter %s did not answer: %s\n", m.Datacenter, m.Reason)
	}
}

// readEverywhere reads the rows that all datacenters have for a path, which are none if
// that is not found anywhere.
func readEverywhere[T any](client *api.Client, path string, q *api.QueryOptions) ([]T, error) {
	rows := []T{} // an empty list in JSON
	_, err := client.Raw().Query(path, &rows, q)
	if status, ok := errors.AsType[api.StatusError](err); ok && status.Code == http.StatusNotFound {
		return rows, nil
	}
	return rows, err
}
