package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

func TestKeyringReplacesAKey(t *testing.T) {
	const first, second = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=", "tmTmUmFZ7jVnqLKk2kC5Uu7dVYvJh0b8kq3pVxk9mGc="
	net := freeNet(t)
	agent := func(name, ip, dc string, args ...string) {
		start(t, append([]string{"agent", "-dev", "-encrypt", first, "-node", name, "-datacenter", dc, "-bind", ip, "-client", ip, "-log-level", "warn",
			"-retry-interval", "1s", "-retry-interval-wan", "1s"}, args...)...)
	}
	agent("one", net+".1", "shanghai")
	agent("two", net+".2", "shanghai", "-server=false", "-retry-join", net+".1")
	agent("far", net+".3", "beijing", "-retry-join-wan", net+".1")
	t.Setenv("CONSUL_HTTP_ADDR", net+".1:8500")
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the pools are there", func() bool {
		members, err := client.Agent().Members(false)
		wan, err2 := client.Agent().Members(true)
		_, _, err3 := client.KV().Get("x", &api.QueryOptions{Datacenter: "beijing"})
		return err == nil && err2 == nil && err3 == nil && len(members) == 2 && len(wan) == 2
	})
	keys := func(lines string) string {
		return fmt.Sprintf("\nWAN:\n%[1]s\nshanghai (LAN):\n%[1]s\nbeijing (LAN):\n%[2]s", lines, strings.ReplaceAll(lines, "[2/2]", "[1/1]"))
	}
	both := "  " + first + " [2/2]\n  " + second + " [2/2]\n"
	for _, step := range []struct {
		args        []string
		stdout, err string
		exit        int
	}{
		{args: []string{"-list"}, stdout: "==> Gathering installed encryption keys...\n" + keys("  "+first+" [2/2]\n")},
		{args: []string{"-install", second}, stdout: "==> Installing new gossip encryption key...\n"},
		{args: []string{"-list", "-relay-factor=1"}, stdout: "==> Gathering installed encryption keys...\n" + keys(both)},
		{args: []string{"-remove", first}, stdout: "==> Removing gossip encryption key...\n", err: "emoving the primary key is not allowed", exit: 1},
		{args: []string{"-use", second}, stdout: "==> Changing primary gossip encryption key...\n"},
		{args: []string{"-list-primary"}, stdout: "==> Gathering installed encryption primary keys...\n" + keys("  "+second+" [2/2]\n")},
		{args: []string{"-remove", first}, stdout: "==> Removing gossip encryption key...\n"},
		{args: []string{"-list", "-local-only"}, stdout: "==> Gathering installed encryption keys...\n\nshanghai (LAN):\n  " + second + " [2/2]\n"},
		{args: []string{"-install", "short"}, stdout: "==> Installing new gossip encryption key...\n", err: "error: ", exit: 1},
	} {
		// Whoever does not answer in time is missing in what is printed. Each step may be repeated.
		lab.Until(t, fmt.Sprint(step.args), func() error {
			stdout, stderr, exit := hanse(t, "", append([]string{"keyring"}, step.args...)...)
			if stdout != step.stdout || !strings.Contains(stderr, step.err) || (stderr == "") != (step.err == "") || exit != step.exit {
				return fmt.Errorf("exit code %d: %s\n%s\nwant %d: %s\n%s", exit, stderr, stdout, step.exit, step.err, step.stdout)
			}
			return nil
		})
	}
	lab.Until(t, "the list is there as JSON", func() error {
		if stdout, stderr, exit := hanse(t, "", "keyring", "-list", "-local-only", "-format=json"); exit != 0 || !strings.Contains(stdout, `"NumNodes": 2`) {
			return fmt.Errorf("exit code %d: %s%s", exit, stderr, stdout)
		}
		return nil
	})
}

func TestKeyringSaysWhatIsWrong(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
	for line, says := range map[string]string{
		"keyring":                        "Say what to do: -list, -list-primary, -install, -use or -remove\n\nUsage: hanse keyring",
		"keyring -list -use=a":           "Only a single action is allowed\n",
		"keyring -list -relay-factor=6":  "Error parsing relay factor: 6 not in range: [0, 5]\n",
		"keyring -install=a -local-only": "Error validating local-only: it is only for -list and -list-primary\n",
		"keyring -list more":             "Too many arguments (expected 0, got 1)\n",
		"keyring -list":                  "error: Get ",
	} {
		if _, stderr, exit := hanse(t, "", strings.Fields(line)...); exit != 1 || !strings.HasPrefix(stderr, says) {
			t.Errorf("%s: exit code %d: %s", line, exit, stderr)
		}
	}
}
