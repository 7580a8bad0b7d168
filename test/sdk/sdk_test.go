// Package sdk_test starts Hanse the way the tests of other projects start Consul.
package sdk_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/consul/sdk/testutil"
	"github.com/hashicorp/consul/sdk/testutil/retry"
)

// patience is how long the server has for what takes a moment on a machine that is not busy.
const patience = 2 * time.Minute

// consulInPath builds our binary under the name that the test server looks for.
func consulInPath(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "consul"), "github.com/hanse-project/hanse/cmd/hanse")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestTheTestServerOfOthersStartsHanse(t *testing.T) {
	consulInPath(t)
	// The test server has patience for two seconds, and others try again after that, too.
	var server *testutil.TestServer
	retry.RunWith(&retry.Timer{Timeout: patience, Wait: time.Second}, t, func(r *retry.R) {
		var err error
		if server, err = testutil.NewTestServerConfigT(t, func(c *testutil.TestServerConfig) {
			c.NodeMeta = map[string]string{"rack": "r1"}
		}); err != nil {
			r.Fatalf("start: %v", err)
		}
	})
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	client, err := api.NewClient(&api.Config{Address: server.HTTPAddr})
	if err != nil {
		t.Fatal(err)
	}
	retry.RunWith(&retry.Timer{Timeout: patience, Wait: 25 * time.Millisecond}, t, func(r *retry.R) {
		if checks, _, err := client.Health().State(api.HealthAny, nil); err != nil || len(checks) == 0 {
			r.Fatalf("nobody is registered: %v, %v", checks, err)
		}
	})
	server.WaitForLeader(t)
	server.WaitForSerfCheck(t)
	server.SetKVString(t, "config/limit", "20")
	if got := server.GetKVString(t, "config/limit"); got != "20" {
		t.Errorf("key is %q, want 20", got)
	}
	ok, result, _, err := client.Txn().Txn(api.TxnOps{
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "a", Value: []byte("1")}},
		{KV: &api.KVTxnOp{Verb: api.KVGet, Key: "a"}},
	}, nil)
	if err != nil || !ok || len(result.Results) != 2 || string(result.Results[1].KV.Value) != "1" {
		t.Errorf("transaction: %v %+v %v", ok, result, err)
	}
}
