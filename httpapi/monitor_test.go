package httpapi

import (
	"testing"

	"github.com/hanse-project/hanse/rpc"
)

func TestMonitorSaysWhatIsWrong(t *testing.T) {
	agent := &body{}
	face, _ := newFace(t, func(c *Config) { c.Agent = agent })
	for _, c := range []struct {
		query  string
		status int
		text   string
	}{
		{"", 200, "from info, JSON: false\n"},
		{"?loglevel=trace&logjson", 200, "from trace, JSON: true\n"},
		{"?loglevel=nope", 400, "Unknown log level: nope"},
		{"?loglevel=off", 400, "Unknown log level: off"},
	} {
		if w := do(face, "GET", "/v1/agent/monitor"+c.query, ""); w.Code != c.status || w.Body.String() != c.text {
			t.Errorf("%s: %d %s", c.query, w.Code, w.Body)
		}
	}
	agent.mute = true
	if w := do(face, "GET", "/v1/agent/monitor", ""); w.Code != 500 || w.Body.String() != "nobody may listen" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestWhoMayLookAtTheMachine(t *testing.T) {
	face, _ := newFace(t, func(c *Config) { c.Resolver = tokens{"nobody": stranger{}} })
	for path, permission := range map[string]string{
		"/v1/agent/host": "'operator:read'", "/v1/agent/version": `'agent:read' on "alpha"`, "/v1/agent/monitor": `'agent:read' on "alpha"`,
	} {
		w := do(face, "GET", path+"?token=nobody", "")
		if want := rpc.ErrPermissionDenied.Text + ": token with AccessorID 'acce5500-0000-4000-8000-00000000a004' lacks permission " + permission; w.Code != 403 || w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
