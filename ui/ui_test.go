package ui

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// federation is shanghai with a real catalog, beijing that nobody reaches, and tokyo
// that does not answer.
type federation struct {
	store   *store.Store
	index   uint64
	methods map[string]rpc.Handler
	// lost is set when not even the datacenters are known.
	lost bool
}

func newFederation(t *testing.T) *federation {
	t.Helper()
	s, err := store.New(catalog.Module("dc1"))
	if err != nil {
		t.Fatal(err)
	}
	f := &federation{store: s, methods: map[string]rpc.Handler{}}
	for _, h := range append(catalog.NewEndpoint(s, f, "shanghai").Methods(),
		catalog.ListDatacenters.Handle(func(context.Context, *rpc.Call, *catalog.DatacentersRequest) (*[]string, error) {
			return &[]string{"shanghai", "beijing", "tokyo"}, nil
		}),
		operator.Leader.Handle(func(context.Context, *rpc.Call, *operator.DCRequest) (*string, error) {
			return new("127.0.0.1:8300"), nil
		}),
		operator.GetConfiguration.Handle(func(context.Context, *rpc.Call, *operator.DCRequest) (*operator.RaftConfiguration, error) {
			return &operator.RaftConfiguration{Servers: []*operator.RaftServer{{Node: "sh-1", Leader: true, Voter: true}}}, nil
		}),
	) {
		f.methods[h.Name] = h
	}
	return f
}

// Propose implements store.Log: everything is committed at once.
func (f *federation) Propose(_ context.Context, entry []byte) (any, uint64, error) {
	f.index++
	return f.store.Apply(&raft.Log{Type: raft.LogCommand, Index: f.index, Data: entry}), f.index, nil
}

// Call implements rpc.Caller.
func (f *federation) Call(ctx context.Context, m *rpc.Info, req rpc.Request, _ func() any) (any, error) {
	if f.lost {
		return nil, rpc.ErrNoServers
	}
	switch dc := *req.Envelope().Datacenter; {
	case m.Route == rpc.Local || dc == "shanghai":
		return f.methods[m.Name].Serve(ctx, &rpc.Call{Authz: rpc.AllowAll{}}, req)
	case dc == "beijing":
		return nil, rpc.Wrap(rpc.ErrUnreachable, "beijing")
	case dc == "tokyo":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, rpc.ErrNoPath
}

func (f *federation) register(t *testing.T, node, service, status string, tags ...string) {
	t.Helper()
	req := &catalog.RegisterRequest{
		Node: node, Address: "10.0.0.1",
		Service: &catalog.NodeService{ID: service, Service: service, Tags: tags},
		Check:   &catalog.HealthCheck{Node: node, CheckID: service, Name: service, ServiceID: service, Status: status},
	}
	req.Datacenter = "shanghai"
	if _, err := catalog.Register.Call(t.Context(), f, req); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, f *federation, method, target string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	New(Config{Caller: f, Datacenter: "shanghai", Node: "sh-1", Version: "0.1", Log: hclog.NewNullLogger()}).
		ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, target, nil))
	return w
}

var markup = regexp.MustCompile(`(?s)<style>.*?</style>|<[^>]*>`)

// words are what a reader without styles sees.
func words(page string) string {
	return strings.Join(strings.Fields(markup.ReplaceAllString(page, " ")), " ")
}

func TestPageShowsWhatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		f.register(t, "sh-1", "web", catalog.Passing, "v1", "primary")
		f.register(t, "sh-2", "web", catalog.Critical, "v2")
		f.register(t, "sh-2", "<b>bold</b>", catalog.Warning)
		w := get(t, f, "GET", "/ui/")
		text := words(w.Body.String())
		for _, want := range []string{
			"shanghai this agent’s answers 127.0.0.1:8300",
			"beijing Remote DC has no server currently reachable: beijing –",
			"tokyo no answer within 3s –",
			"sh-1 passing leader 10.0.0.1 1", "sh-2 passing 10.0.0.1 2",
			"web critical 1 2 primary, v1, v2", "&lt;b&gt;bold&lt;/b&gt; warning 0 1",
			"Seen from sh-1 in shanghai",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("the page does not say %q:\n%s", want, text)
			}
		}
		if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("status %d, %s", w.Code, w.Header().Get("Content-Type"))
		}
	})
}

func TestPageSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		target string
		lost   bool
		want   []string
	}{
		"unreachable": {"/ui/?dc=beijing", false, []string{"beijing could not be shown. Remote DC has no server currently reachable: beijing", "shanghai this agent’s answers"}},
		"silent":      {"/ui/?dc=tokyo", false, []string{"tokyo could not be shown. no answer within 3s"}},
		"unknown":     {"/ui/?dc=%3Cscript%3E", false, []string{"&lt;script&gt; could not be shown. No path to datacenter"}},
		"lost":        {"/ui/", true, []string{"shanghai could not be shown. No known Consul servers", "The datacenters could not be listed. No known Consul servers"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFederation(t)
				f.lost = c.lost
				w := get(t, f, "GET", c.target)
				text := words(w.Body.String())
				for _, want := range c.want {
					if !strings.Contains(text, want) {
						t.Errorf("the page does not say %q:\n%s", want, text)
					}
				}
				if strings.Contains(text, "Members") || w.Code != 200 {
					t.Errorf("status %d, members of a datacenter that is not shown:\n%s", w.Code, text)
				}
			})
		})
	}
}

func TestPageIsWellFormedAndAllowedToShowItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		f.register(t, "sh-1", "web", catalog.Passing)
		w := get(t, f, "GET", "/ui/")
		body := w.Body.String()
		_, rest, _ := strings.Cut(body, "<style>")
		style, _, _ := strings.Cut(rest, "</style>")
		hash := sha256.Sum256([]byte(style))
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "'sha256-"+base64.StdEncoding.EncodeToString(hash[:])+"'") || !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("the policy does not allow the page's style, or too much: %s", csp)
		}
		for _, no := range []string{"<script", "style=", "onclick", "http://unpkg", "https://"} {
			if strings.Contains(body, no) {
				t.Errorf("the page contains %s", no)
			}
		}
		checkTags(t, body)
	})
}

// checkTags finds tags that are not closed.
func checkTags(t *testing.T, body string) {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(body))
	dec.Entity = xml.HTMLEntity
	for {
		_, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("the page is not well formed: %v", err)
		}
	}
}

func TestPathsLeadToThePage(t *testing.T) {
	f := newFederation(t)
	for path, want := range map[string]string{
		"/ui": "/ui/", "/ui/beijing/nodes": "/ui/?dc=beijing#nodes", "/ui/beijing/services/web": "/ui/?dc=beijing#services",
		"/ui/beijing": "/ui/?dc=beijing", "/ui/a&b/kv": "/ui/?dc=a%26b", "/ui//evil.example": "/ui/",
	} {
		w := get(t, f, "GET", path)
		if w.Code != 302 || w.Header().Get("Location") != want {
			t.Errorf("%s: %d to %s, want %s", path, w.Code, w.Header().Get("Location"), want)
		}
	}
	if w := get(t, f, "POST", "/ui/"); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestLongTablesAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		for i := range most + 5 {
			f.register(t, fmt.Sprintf("n%05d", i), "web", catalog.Passing)
		}
		if text := words(get(t, f, "GET", "/ui/").Body.String()); !strings.Contains(text, "Members 1000 and 5 more") {
			t.Errorf("the page does not say how much it leaves out: %.300s", text)
		}
	})
}
