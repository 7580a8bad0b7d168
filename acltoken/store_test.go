package acltoken

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func open(t *testing.T, dir string, configured map[Kind]string) *Store {
	t.Helper()
	s, err := Open(dir, configured, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTokenThatWasSetGoesBeforeTheConfiguredOne(t *testing.T) {
	s := open(t, "", map[Kind]string{Default: "configured", Agent: "agent"})
	check := func(kind Kind, want, wantFor string) {
		t.Helper()
		if got := s.Get(kind); got != want {
			t.Errorf("%s is %q, want %q", kind, got, want)
		}
		if got := s.For(kind); got != wantFor {
			t.Errorf("for %s %q is sent, want %q", kind, got, wantFor)
		}
	}
	check(Default, "configured", "configured")
	check(Agent, "agent", "agent")
	check(DNS, "", "configured")
	for kind, secret := range map[Kind]string{Default: "set", Agent: ""} {
		if err := s.Set(kind, secret); err != nil {
			t.Fatal(err)
		}
	}
	check(Default, "set", "set")
	check(Agent, "", "set")
	s.Configure(map[Kind]string{Default: "later", DNS: "dns"})
	check(Default, "set", "set")
	check(DNS, "dns", "dns")
	var none *Store
	if none.Get(Default) != "" || none.For(Agent) != "" {
		t.Error("a store that is not there holds something")
	}
}

func TestTokensAreKept(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	if err := s.Set(Files, "secret"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "acl-tokens.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file is %v (%v)", info, err)
	}
	var log bytes.Buffer
	again, err := Open(dir, map[Kind]string{Files: "configured"}, hclog.New(&hclog.LoggerOptions{Output: &log}))
	if err != nil || again.Get(Files) != "secret" {
		t.Errorf("%q (%v)", again.Get(Files), err)
	}
	if !strings.Contains(log.String(), "token=config_file_service_registration") || strings.Contains(log.String(), "secret") {
		t.Errorf("the log says: %s", &log)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("the data directory holds %v", left)
	}
}

func TestTokensOfConsulAreRead(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "acl-tokens.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"default": "d", "agent_master": "m", "agent_recovery": "r", "later": {"x": 1}}`)
	if s := open(t, dir, nil); s.Get(Default) != "d" || s.Get(AgentRecovery) != "r" {
		t.Errorf("%q, %q", s.Get(Default), s.Get(AgentRecovery))
	}
	for text, want := range map[string]string{`{"default"`: "unexpected end", `{"default": 1}`: "default: use a text", `[]`: "cannot unmarshal"} {
		write(text)
		if _, err := Open(dir, nil, hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "acl-tokens.json") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What cannot be kept is not taken.
func TestTokenThatCannotBeKeptIsRefused(t *testing.T) {
	s := open(t, t.TempDir(), map[Kind]string{Default: "old"})
	s.file.dir = filepath.Join(s.file.dir, "gone")
	if err := s.Set(Default, "new"); err == nil || s.Get(Default) != "old" {
		t.Errorf("%q (%v)", s.Get(Default), err)
	}
}

func TestKindsHaveOldNames(t *testing.T) {
	for name, want := range map[string]Kind{
		"default": Default, "agent": Agent, "agent_recovery": AgentRecovery, "agent_master": AgentRecovery, "replication": Replication,
		"config_file_service_registration": Files, "dns": DNS, "acl_token": Default, "acl_agent_token": Agent,
		"acl_agent_master_token": AgentRecovery, "acl_replication_token": Replication, "nope": "", "": "",
	} {
		if kind, known := Named(name); known != (want != "") || known && kind != want {
			t.Errorf("%q is %q, %v", name, kind, known)
		}
	}
}

func FuzzFile(f *testing.F) {
	for _, text := range []string{`{"default":"x"}`, `{"agent_master":"x","agent_recovery":"y"}`, `{"dns":null}`, `[]`, `{`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		kept, err := decode(text)
		if err != nil && kept != nil {
			t.Error("an error, and tokens")
		}
	})
}
