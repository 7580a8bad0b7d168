package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/session"
)

func (a *API) sessionRoutes() map[string]route {
	return map[string]route{
		"/v1/session/create":   {http.MethodPut: a.sessionCreate},
		"/v1/session/destroy/": {http.MethodPut: a.sessionDestroy},
		"/v1/session/renew/":   {http.MethodPut: a.sessionRenew},
		"/v1/session/info/":    {http.MethodGet: a.sessionInfo},
		"/v1/session/node/":    {http.MethodGet: a.sessionNode},
		"/v1/session/list":     {http.MethodGet: a.sessionList},
	}
}

func errNoSession() error { return badRequest("Missing session") }

// newSession is a session as a client asks for it. What it does not say is filled in
// here, since servers cannot know which agent was asked.
type newSession struct {
	Name          string
	Node          string
	Behavior      string
	TTL           string
	LockDelay     lockDelay
	NodeChecks    []string
	ServiceChecks []session.ServiceCheck
	// Checks is what NodeChecks was called before Consul 1.7. Some clients still do.
	Checks []string
	// Those who send back what they were shown are not refused for these.
	ID                       string
	Namespace, Partition     string
	CreateIndex, ModifyIndex uint64
}

// lockDelay is a duration as text, or as a number: of seconds below a thousand, and of
// nanoseconds from there on.
type lockDelay time.Duration

const secondsBelow = 1000

// UnmarshalJSON implements json.Unmarshaler.
func (d *lockDelay) UnmarshalJSON(data []byte) error {
	var given any
	if err := json.Unmarshal(data, &given); err != nil {
		return err
	}
	switch v := given.(type) {
	case nil:
	case string:
		parsed, err := time.ParseDuration(v)
		if err != nil {
			return err
		}
		*d = lockDelay(parsed)
	case float64:
		if v < secondsBelow {
			v *= float64(time.Second)
		}
		if math.Abs(v) >= math.MaxInt64 {
			return errors.New("LockDelay is out of range: use a duration such as \"15s\"")
		}
		*d = lockDelay(v)
	default:
		return errors.New("LockDelay is neither text nor a number: use a duration such as \"15s\"")
	}
	return nil
}

// parseSession reads the body of a creation, which may be empty.
func (a *API) parseSession(r *request) (*session.Session, error) {
	body, err := r.body(maxBody)
	if err != nil {
		return nil, err
	}
	asked := newSession{Node: a.cfg.Node, LockDelay: lockDelay(session.DefaultLockDelay)}
	if len(bytes.TrimSpace(body)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		if err := decodeAll(dec, &asked); err != nil {
			return nil, badRequest("Request decode failed: " + err.Error())
		}
	}
	s := &session.Session{
		Name: asked.Name, Node: asked.Node, Behavior: asked.Behavior, TTL: asked.TTL, LockDelay: time.Duration(asked.LockDelay),
		NodeChecks: asked.NodeChecks, ServiceChecks: asked.ServiceChecks,
	}
	switch {
	case asked.Checks != nil:
		s.NodeChecks = append(asked.Checks, asked.NodeChecks...)
	case asked.NodeChecks == nil:
		s.NodeChecks = []string{catalog.SerfCheckID}
	}
	return s, nil
}

func (a *API) sessionCreate(_ http.ResponseWriter, r *request) (any, error) {
	s, err := a.parseSession(r)
	if err != nil {
		return nil, err
	}
	req := &session.ApplyRequest{Op: session.Create, Session: *s}
	a.write(r, &req.Write)
	id, err := session.Apply.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	return struct{ ID string }{*id}, nil
}

func (a *API) sessionDestroy(_ http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, errNoSession()
	}
	req := &session.ApplyRequest{Op: session.Destroy, Session: session.Session{ID: r.name}}
	a.write(r, &req.Write)
	if _, err := session.Apply.Call(r.Context(), a.cfg.Caller, req); err != nil {
		return nil, err
	}
	return true, nil
}

func (a *API) sessionRenew(_ http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, errNoSession()
	}
	req := sessionRequest(r.name)
	// The consistency that a parameter might ask for is not the caller's to choose.
	req.Datacenter, req.Token = a.datacenter(r), r.token()
	rep, err := session.Renew.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	if len(rep.Sessions) == 0 {
		return nil, &statusError{http.StatusNotFound, "Session id '" + r.name + "' not found"}
	}
	return rep.Sessions, nil
}

// sessionRequest names a session in both fields, as older servers read the second.
func sessionRequest(id string) *session.SpecificRequest {
	return &session.SpecificRequest{SessionID: id, Session: id}
}

func (a *API) sessionInfo(w http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, errNoSession()
	}
	req := sessionRequest(r.name)
	rep, err := ask(a, w, r, &session.Get, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return list(rep.Sessions), nil
}

func (a *API) sessionList(w http.ResponseWriter, r *request) (any, error) {
	req := &session.SpecificRequest{}
	rep, err := ask(a, w, r, &session.List, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return list(rep.Sessions), nil
}

func (a *API) sessionNode(w http.ResponseWriter, r *request) (any, error) {
	req, err := nodeRequest(r)
	if err != nil {
		return nil, err
	}
	rep, err := ask(a, w, r, &session.NodeSessions, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return list(rep.Sessions), nil
}
