package httpapi

import (
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/acltoken"
)

// newTokens holds nothing, and keeps nothing.
func newTokens(t testing.TB) *acltoken.Store {
	t.Helper()
	s, err := acltoken.Open("", nil, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTokensOfTheAgentAreSet(t *testing.T) {
	own := newTokens(t)
	face, _ := newFace(t, func(c *Config) {
		c.ACLs, c.Tokens, c.Resolver = true, own, tokens{"nobody": stranger{}}
	})
	for _, c := range []struct {
		name, body string
		status     int
		answer     string
	}{
		{"agent", `{"Token":"a"}`, 200, ""},
		{"agent_master", `{"Token":"r"}`, 200, ""},
		{"acl_replication_token", `{"Token":"p"}`, 200, ""},
		{"config_file_service_registration", `{"Token":"f"}`, 200, ""},
		{"dns", `{"Token":"d"}`, 200, ""},
		{"dns", `{}`, 200, ""},
		{"agent", ``, 400, "Request decode failed: EOF"},
		{"agent", `{"Token":1}`, 400, "Request decode failed: json: cannot unmarshal number into Go struct field .Token of type string"},
		{"agent", `{"Tokn":"x"}`, 400, `Request decode failed: json: unknown field "Tokn"`},
		{"nope", `{"Token":"x"}`, 404, `Token "nope" is unknown`},
		{"", `{"Token":"x"}`, 404, `Token "" is unknown`},
		{"agent?token=nobody", `{"Token":"x"}`, 403, "Permission denied: token with AccessorID 'acce5500-0000-4000-8000-00000000a004' lacks permission 'agent:write' on \"alpha\""},
	} {
		if w := do(face, "PUT", "/v1/agent/token/"+c.name, c.body); w.Code != c.status || w.Body.String() != c.answer {
			t.Errorf("%s %s: %d %s", c.name, c.body, w.Code, w.Body)
		}
	}
	for kind, want := range map[acltoken.Kind]string{
		acltoken.Agent: "a", acltoken.AgentRecovery: "r", acltoken.Replication: "p", acltoken.Files: "f", acltoken.DNS: "", acltoken.Default: "",
	} {
		if got := own.Get(kind); got != want {
			t.Errorf("%s is %q, want %q", kind, got, want)
		}
	}
}

// A request without a token is made with the agent's default one, and what it registers
// is not bound to that one.
func TestDefaultTokenStandsIn(t *testing.T) {
	own := newTokens(t)
	face, _ := newFace(t, func(c *Config) { c.Tokens, c.Resolver = own, tokens{"nobody": stranger{}} })
	if w := do(face, "GET", "/v1/agent/self", ""); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if err := own.Set(acltoken.Default, "nobody"); err != nil {
		t.Fatal(err)
	}
	if w := do(face, "GET", "/v1/agent/self", ""); w.Code != 403 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := do(face, "GET", "/v1/agent/self?token=somebody", ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
