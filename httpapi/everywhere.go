package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
)

const (
	// allDatacenters is the value of ?dc that asks every datacenter.
	allDatacenters = "*"
	// askPatience is how long they have for their answers together, unless ?wait says.
	askPatience = 2 * time.Second

	// headerMissing lists the datacenters whose rows are not in the answer, and
	// headerMissingReasons says why, in the order of the first: beijing=timeout, ...
	headerMissing        = "X-Hanse-Missing-Datacenters"
	headerMissingReasons = "X-Hanse-Missing-Reasons"
)

// wideFamilies are the beginnings, below /v1/, of the paths that all datacenters can be
// asked at once.
var wideFamilies = []string{"kv", "catalog", "health"}

// everywhere tells whether the request is for all datacenters.
func (r *request) everywhere() bool { return r.query.Get("dc") == allDatacenters }

// goesEverywhere says why the request cannot be made in all datacenters at once, nil if
// it can.
func (r *request) goesEverywhere() error {
	because := func(text string) error {
		return badRequest("Invalid query parameter: dc=* - " + text)
	}
	family, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	switch {
	case r.Method != http.MethodGet:
		return because("a change goes to one datacenter at a time, see /v1/catalog/datacenters for their names")
	case r.URL.Path == "/v1/catalog/datacenters", !slices.Contains(wideFamilies, family):
		return because("this endpoint asks one datacenter at a time, see /v1/catalog/datacenters for their names")
	case r.has("index"):
		return because("a blocking query waits for one datacenter, whose index it names; leave out index")
	case r.has("changes"):
		return because("changes are those of one datacenter, after an index of its own")
	case r.has("entries"):
		return because("pages are of one datacenter, behind a key of its own")
	case r.has("digests"):
		return because("sums are of one datacenter, at an index of its own")
	case r.has("raw"):
		return because("several values cannot be told apart with raw; leave it out")
	}
	return nil
}

// partial is the answer of one datacenter.
type partial struct {
	header http.Header
	rows   []json.RawMessage
	err    error
}

// askEverywhere has h answer once for every datacenter, all at once, and puts the rows
// together, each with its datacenter. One that does not answer in time is named in a
// header. It is an error if none does.
func (a *API) askEverywhere(w http.ResponseWriter, r *request, h handler) (any, error) {
	if err := r.goesEverywhere(); err != nil {
		return nil, err
	}
	patience, err := r.patience(a.cfg.Waits)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), patience,
		rpc.Wrap(rpc.ErrTimeout, fmt.Sprintf("no answer within %v", patience)))
	defer cancel()
	req := &catalog.DatacentersRequest{}
	req.Datacenter, req.Token = a.cfg.Datacenter, r.token()
	names, err := catalog.ListDatacenters.Call(ctx, a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	datacenters := slices.Sorted(slices.Values(*names))
	return a.together(w, r, datacenters, a.gather(ctx, r, h, datacenters))
}

// patience is how long the datacenters have to answer.
func (r *request) patience(waits rpc.Waits) (time.Duration, error) {
	wait := r.query.Get("wait")
	if wait == "" {
		return askPatience, nil
	}
	d, err := time.ParseDuration(wait)
	if err != nil || d <= 0 {
		return 0, badRequest("Invalid wait time: with dc=* it is how long the datacenters have to answer, such as 500ms")
	}
	return waits.Of(d), nil
}

// gather asks all datacenters. What has not arrived when ctx ends is an error: a call
// that has been abandoned ends soon after its ctx, and nobody waits for it.
func (a *API) gather(ctx context.Context, r *request, h handler, datacenters []string) []partial {
	parts := make([]chan partial, len(datacenters))
	for i, dc := range datacenters {
		parts[i] = make(chan partial, 1)
		go func() { parts[i] <- askOne(ctx, r, h, dc) }()
	}
	all := make([]partial, len(datacenters))
	for i, part := range parts {
		select {
		case all[i] = <-part:
		case <-ctx.Done():
			select {
			case all[i] = <-part: // it was in time, and only looked at late
			default:
				all[i].err = context.Cause(ctx)
			}
		}
	}
	return all
}

// askOne has h answer for one datacenter.
func askOne(ctx context.Context, r *request, h handler, dc string) (p partial) {
	one := *r
	one.Request = r.WithContext(ctx)
	one.query = maps.Clone(r.query)
	one.query.Set("dc", dc)
	one.query.Del("wait")
	w := headerWriter{}
	value, err := h(w, &one)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = context.Cause(ctx)
		}
		return partial{err: err}
	}
	rows, err := rowsOf(value, dc)
	return partial{http.Header(w), rows, err}
}

// headerWriter keeps the headers of a part. A handler that answers for all datacenters
// writes no body by itself.
type headerWriter http.Header

func (h headerWriter) Header() http.Header         { return http.Header(h) }
func (h headerWriter) Write(p []byte) (int, error) { return len(p), nil }
func (h headerWriter) WriteHeader(int)             {}

// together is the answer of all parts, which stand in the order of the datacenters.
func (a *API) together(w http.ResponseWriter, r *request, datacenters []string, parts []partial) (any, error) {
	var missing, reasons []string
	var failure error
	all := rowList{}
	meta := rpc.Meta{KnownLeader: true}
	for i, part := range parts {
		dc := datacenters[i]
		if err := part.err; err != nil {
			if _, misread := errors.AsType[*statusError](err); misread {
				return nil, err // the same everywhere
			}
			reason := rpc.ReasonOf(err)
			if reason == "" {
				reason = rpc.ReasonFailed
			}
			missing, reasons = append(missing, dc), append(reasons, dc+"="+string(reason))
			// What our own datacenter says is no failure of the way there.
			if failure == nil || dc == a.cfg.Datacenter {
				failure = err
			}
			continue
		}
		addContact(&meta, part.header)
		if level := part.header["X-Consul-Effective-Consistency"]; level != nil {
			w.Header()["X-Consul-Effective-Consistency"] = level
		}
		all = append(all, part.rows...)
	}
	if missing != nil {
		w.Header().Set(headerMissing, strings.Join(missing, ", "))
		w.Header().Set(headerMissingReasons, strings.Join(reasons, ", "))
	}
	if len(missing) == len(datacenters) {
		return nil, failure
	}
	setContact(w.Header(), &meta)
	if meta.ResultsFilteredByACLs {
		w.Header()["X-Consul-Results-Filtered-By-Acls"] = yes
	}
	if len(all) == 0 && strings.HasPrefix(r.URL.Path, "/v1/kv/") {
		r.status = http.StatusNotFound // as in one datacenter
		return nil, nil
	}
	return all, nil
}

// addContact makes meta speak for one more datacenter, by the headers of its answer. An
// index is not among them, since each has its own.
func addContact(meta *rpc.Meta, h http.Header) {
	ms, err := strconv.ParseInt(h.Get("X-Consul-Lastcontact"), 10, 64)
	if err == nil {
		meta.LastContact = max(meta.LastContact, time.Duration(ms)*time.Millisecond)
	}
	meta.KnownLeader = meta.KnownLeader && h.Get("X-Consul-Knownleader") == "true"
	meta.ResultsFilteredByACLs = meta.ResultsFilteredByACLs || h.Get("X-Consul-Results-Filtered-By-Acls") == "true"
}

// namedTags is the row of a service in the list of services.
type namedTags struct {
	Name string
	Tags catalog.Tags
}

// rowList is rendered as it is: its rows are JSON already.
type rowList []json.RawMessage

// rowsOf are the rows of what a handler answered for one datacenter, each an object with
// its datacenter. A key alone becomes {"Key"}, and a service with its tags
// {"Name", "Tags"}; what there is only one of is a row by itself.
func rowsOf(value any, dc string) ([]json.RawMessage, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case []string:
		rows := make([]struct{ Key string }, len(v))
		for i, key := range v {
			rows[i].Key = key
		}
		value = rows
	case map[string]catalog.Tags:
		rows := make([]namedTags, 0, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			rows = append(rows, namedTags{name, v[name]})
		}
		value = rows
	case catalog.NodeServiceList:
		if v.Node == nil { // there is no such node
			return nil, nil
		}
	}
	plain, err := appendValue(nil, value)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(plain, []byte("null")) {
		return nil, nil
	}
	if plain[0] != '[' {
		return placed([]json.RawMessage{plain}, dc)
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(plain, &rows); err != nil {
		return nil, err
	}
	return placed(rows, dc)
}

// placed writes the datacenter into rows of one kind that do not have it.
func placed(rows []json.RawMessage, dc string) ([]json.RawMessage, error) {
	if len(rows) == 0 {
		return rows, nil
	}
	var first map[string]json.RawMessage
	if err := json.Unmarshal(rows[0], &first); err != nil {
		return nil, err
	}
	if _, there := first["Datacenter"]; there {
		return rows, nil
	}
	name, err := json.Marshal(dc)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		rows[i] = slices.Concat([]byte(`{"Datacenter":`), name, []byte(","), row[1:])
	}
	return rows, nil
}
