package watch

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	library "github.com/hashicorp/consul/api/watch"
	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/process"
)

// keptOutput is how much of what a handler says is logged, in bytes.
const keptOutput = 4096

// handler takes a view that changed.
type handler interface {
	// handle does its work within ctx. What it was told is said with the error or, when
	// there is none, to log.
	handle(ctx context.Context, view View, log hclog.Logger) error
}

// View is a state that a watch has seen.
type View struct {
	// Env says at which index, as a variable for a program: "CONSUL_INDEX=7".
	Env string
	// Header and Value say so to a server.
	Header, Value string
	// JSON is what was seen, with a newline behind it.
	JSON []byte
}

// NewView describes what the library saw.
func NewView(at library.BlockingParamVal, data any) (View, error) {
	var text bytes.Buffer
	if err := json.NewEncoder(&text).Encode(data); err != nil {
		return View{}, err
	}
	name, value := "Index", ""
	switch at := at.(type) {
	case library.WaitIndexVal:
		value = strconv.FormatUint(uint64(at), 10)
	case library.WaitHashVal:
		name, value = "Hash", string(at)
	}
	return View{
		Env: "CONSUL_" + strings.ToUpper(name) + "=" + value, Header: "X-Consul-" + name, Value: value, JSON: text.Bytes(),
	}, nil
}

// script is a program that gets the view on its standard input.
type script struct {
	shell bool // args is one line for the shell
	args  []string
}

func (s script) handle(ctx context.Context, view View, log hclog.Logger) error {
	args := s.args
	if s.shell {
		args = process.Shell(s.args[0])
	}
	out := &process.Tail{Limit: keptOutput}
	code, err := process.Run(ctx, process.Command{
		Args: args, Env: []string{view.Env}, Input: bytes.NewReader(view.JSON), Output: out,
	})
	switch {
	case err != nil:
		return fmt.Errorf("run %q: %w; it said %q", s.args[0], err, out)
	case code != 0:
		return fmt.Errorf("run %q: exit status %d; it said %q", s.args[0], code, out)
	}
	log.Debug("watch handler output", "handler", s.args[0], "output", out.String())
	return nil
}

// webhook is a URL that gets the view as the body of a request.
type webhook struct {
	settings *library.HttpHandlerConfig
	client   *http.Client
}

func newWebhook(settings *library.HttpHandlerConfig) *webhook {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // a change is rare, and the other side may be restarted between two
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: settings.TLSSkipVerify}
	return &webhook{settings, &http.Client{Transport: transport}}
}

func (h *webhook) handle(ctx context.Context, view View, log hclog.Logger) error {
	s := h.settings
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, s.Method, s.Path, bytes.NewReader(view.JSON))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	for name, values := range s.Header {
		for _, value := range values {
			req.Header.Add(name, value)
			if strings.EqualFold(name, "Host") {
				req.Host = value
			}
		}
	}
	req.Header.Set(view.Header, view.Value)
	rep, err := h.client.Do(req)
	if err != nil {
		return err
	}
	defer rep.Body.Close()
	said, err := io.ReadAll(io.LimitReader(rep.Body, keptOutput))
	if err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", s.Method, s.Path, err)
	}
	if rep.StatusCode < 200 || rep.StatusCode > 299 {
		return fmt.Errorf("%s %s: status %d: %q", s.Method, s.Path, rep.StatusCode, said)
	}
	log.Debug("watch handler output", "handler", s.Path, "output", process.Readable(string(said)))
	return nil
}
