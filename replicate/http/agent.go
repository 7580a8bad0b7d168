package replicatehttp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// answerTime is how long an agent may take to begin its answer to a question that
// does not wait, and stallTime how long an answer may stand still.
const (
	answerTime = 60 * time.Second
	stallTime  = 30 * time.Second
)

// Agent is one agent's HTTP API.
type Agent struct {
	base   url.URL
	header http.Header
	client *http.Client
}

// NewAgent talks to the API below base, sending header with every request.
func NewAgent(base url.URL, header http.Header, client *http.Client) *Agent {
	own := *client
	own.Timeout = 0 // a blocking query has a limit of its own
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Agent{base: base, header: header, client: &own}
}

// String is the agent's address, without a password.
func (a *Agent) String() string { return a.base.Redacted() }

// Self is what an agent says of itself.
type Self struct{ Datacenter, NodeName string }

// Self asks the agent who it is.
func (a *Agent) Self(ctx context.Context) (Self, error) {
	resp, err := a.do(ctx, http.MethodGet, "/v1/agent/self", nil, nil, answerTime)
	if err != nil {
		return Self{}, err
	}
	defer resp.Close()
	if err := resp.want(http.StatusOK); err != nil {
		return Self{}, err
	}
	var answer struct{ Config Self }
	if err := json.NewDecoder(resp).Decode(&answer); err != nil {
		return Self{}, resp.explain(fmt.Errorf("decode: %w", err))
	}
	if answer.Config.Datacenter == "" {
		return Self{}, resp.explain(errors.New("no datacenter in the answer: is this an agent's HTTP API?"))
	}
	return answer.Config, nil
}

// response is an answer whose body is watched: it must keep moving.
type response struct {
	*http.Response
	name   string // of the request, for errors
	cancel context.CancelCauseFunc
	ctx    context.Context
	watch  *time.Timer
}

// do sends a request. The answer must begin within patience.
func (a *Agent) do(ctx context.Context, method, path string, params url.Values, body []byte, patience time.Duration) (*response, error) {
	u := a.base
	u.Path += path
	u.RawQuery = params.Encode()
	r := &response{name: method + " " + path}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	r.watch = time.AfterFunc(patience, func() {
		r.cancel(fmt.Errorf("no answer within %v", patience))
	})
	req, err := http.NewRequestWithContext(r.ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		r.stop()
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	for k, v := range a.header {
		req.Header[k] = v
	}
	if r.Response, err = a.client.Do(req); err != nil {
		r.stop()
		return nil, r.explain(err)
	}
	r.watch.Stop()
	return r, nil
}

func (r *response) stop() {
	r.watch.Stop()
	r.cancel(nil)
}

// Read reads the body.
func (r *response) Read(p []byte) (int, error) {
	r.watch.Reset(stallTime)
	n, err := r.Body.Read(p)
	r.watch.Stop() // between reads it is the reader who takes his time
	return n, err
}

// Close ends the request, whether or not its body was read.
func (r *response) Close() {
	r.Body.Close()
	r.stop()
}

// explain says what was asked, and why it was given up if we gave it up.
func (r *response) explain(err error) error {
	if cause := context.Cause(r.ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // it repeats the whole address
	}
	return fmt.Errorf("%s: %w", r.name, err)
}

// want turns any other status into an error with the agent's own words.
func (r *response) want(status int) error {
	if r.StatusCode == status {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(r, 512))
	if err != nil {
		text = []byte(err.Error())
	}
	said := cmp.Or(strings.TrimSpace(string(text)), "no explanation")
	if reason := r.Header.Get("X-Hanse-Reason"); reason != "" {
		said += " (" + reason + ")"
	}
	return fmt.Errorf("%s: %s: %s", r.name, r.Status, said)
}
