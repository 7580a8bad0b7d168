package agent_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTokensAreNotTakenWithoutACLs(t *testing.T) {
	a := start(t, "-dev")
	_, err := a.api(t).Agent().UpdateDefaultACLToken("secret", nil)
	if err == nil || !strings.Contains(err.Error(), "401") || !strings.Contains(err.Error(), "ACL support disabled") {
		t.Errorf("the answer is %v", err)
	}
}

func TestTokensThatWereSetOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	args := []string{"-dev", "-data-dir", dir, "-hcl", `acl { enabled = true enable_token_persistence = true tokens { default = "configured" agent_master = "old name" } }`}
	a := start(t, args...)
	c := a.api(t).Agent()
	for _, set := range []func() error{
		func() error { _, err := c.UpdateDefaultACLToken("secret", nil); return err },
		func() error { _, err := c.UpdateAgentACLToken("agent", nil); return err },
		func() error { _, err := c.UpdateAgentRecoveryACLToken("recovery", nil); return err },
		func() error { _, err := c.UpdateReplicationACLToken("replication", nil); return err },
		func() error { _, err := c.UpdateConfigFileRegistrationToken("files", nil); return err },
		func() error { _, err := c.UpdateDNSToken("dns", nil); return err },
	} {
		if err := set(); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "acl-tokens.json")
	const want = `{"agent":"agent","agent_recovery":"recovery","config_file_service_registration":"files","default":"secret","dns":"dns","replication":"replication"}`
	kept := func() {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("the file is %v (%v)", info, err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != want {
			t.Errorf("kept is %s (%v)", text, err)
		}
	}
	kept()
	a.stop(t)
	again := start(t, args...)
	kept()
	if again.log.count("a token is in the configuration and was set over HTTP too", "token=default") != 1 {
		t.Error("nobody says which of two tokens counts")
	}
	_, self, err := again.do(http.MethodGet, "/v1/agent/self", "")
	if err != nil || strings.Contains(self, "secret") || strings.Contains(self, "old name") {
		t.Errorf("the agent shows its tokens: %s (%v)", self, err)
	}
	if strings.Contains(again.log.String(), "secret") || strings.Contains(again.log.String(), "old name") {
		t.Error("the log shows tokens")
	}
}
