package badinput

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-project/hanse/test/lab"
)

// address is an address of this machine that no other test uses.
func address() string {
	return fmt.Sprintf("127.%d.%d.%d", 10+rand.IntN(240), rand.IntN(256), 1+rand.IntN(250))
}

// endsWithin bounds how long an agent that cannot start may take to say so. It judges
// nothing.
const endsWithin = time.Minute

// refused runs an agent that has to end with code 1, and returns what it said in the
// end. Every one of the words must be in it, exactly once on the terminal.
func refused(t *testing.T, how func(*exec.Cmd), args []string, words ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), endsWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, lab.Binary(t), append([]string{"agent"}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if how != nil {
		how(cmd)
	}
	err := cmd.Run()
	exit, ended := errors.AsType[*exec.ExitError](err)
	if !ended || exit.ExitCode() != 1 {
		t.Fatalf("agent %q ended with %v, want code 1\n%s%s", args, err, out.String(), said.String())
	}
	text := said.String()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("it said %q, want %q in it", text, word)
		}
	}
	if n := strings.Count(out.String()+text, words[0]); n != 1 {
		t.Errorf("%q is on the terminal %d times:\n%s%s", words[0], n, out.String(), text)
	}
	for _, dump := range []string{"&{", "map[", "goroutine ", "%!", "0xc0"} {
		if strings.Contains(text, dump) {
			t.Errorf("it said %q, which is for programmers", text)
		}
	}
	return text
}

// dev are the flags of an agent that would start.
func dev(addr string, more ...string) []string {
	return append([]string{"-dev", "-node", "second", "-bind", addr, "-client", addr, "-log-level", "info"}, more...)
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMistakesInTheSettings(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"an unknown flag":              {[]string{"-dev", "-bootstrap-expct=3"}, []string{"-bootstrap-expct", "Did you mean -bootstrap-expect?"}},
		"an unknown key in HCL":        {[]string{"-dev", "-config-file", file(t, "a.hcl", `retry_jion = ["a"]`)}, []string{"retry_jion", "a.hcl", `did you mean "retry_join"?`}},
		"an unknown key in JSON":       {[]string{"-dev", "-config-file", file(t, "a.json", `{"ports": {"htttp": 1}}`)}, []string{"htttp", "a.json", `did you mean "ports.http"?`}},
		"a file that is not there":     {[]string{"-dev", "-config-file", "/nowhere/a.hcl"}, []string{"no such file", "/nowhere/a.hcl"}},
		"a file that is torn":          {[]string{"-dev", "-config-file", file(t, "a.json", `{"ports": {`)}, []string{"a.json"}},
		"bootstrap in two ways":        {[]string{"-server", "-data-dir", "d", "-bootstrap", "-bootstrap-expect", "3"}, []string{"mutually exclusive", "keep bootstrap_expect"}},
		"no data directory":            {[]string{"-server"}, []string{"data_dir", "-dev"}},
		"a key that is no key":         {[]string{"-dev", "-encrypt", "abc"}, []string{"is not base64", "hanse keygen"}},
		"a key of a wrong length":      {[]string{"-dev", "-encrypt", "YWJj"}, []string{"is 3 bytes", "hanse keygen"}},
		"an argument":                  {[]string{"-dev", "extra"}, []string{"Too many arguments"}},
		"a certificate that is absent": {[]string{"-dev", "-hcl", `tls { internal_rpc { cert_file = "/nowhere/cert.pem", key_file = "/nowhere/key.pem" } }`}, []string{"tls.internal_rpc", "/nowhere/cert.pem"}},
		"TLS without an authority":     {[]string{"-dev", "-hcl", `tls { internal_rpc { verify_outgoing = true } }`}, []string{"ca_file"}},
		"an address that is elsewhere": {[]string{"-dev", "-bind", "192.0.2.1"}, []string{"does not have that address", "192.0.2.1", "bind_addr"}},
		"an HTTP address elsewhere":    {[]string{"-dev", "-bind", address(), "-client", "192.0.2.1"}, []string{"does not have that address", "192.0.2.1", "client_addr"}},
		"a name for an address":        {[]string{"-dev", "-bind", "localhost"}, []string{"is not an IP address", "bind"}},
		"a log file below a file":      {[]string{"-dev", "-log-file", "/dev/null/log"}, []string{"log_file", "/dev/null/log"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, nil, c.args, c.want...)
		})
	}
}

func TestWhatAnotherAgentHas(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 1))
	first := fed.DC("shanghai").Nodes[0]
	port := fmt.Sprint
	const lan, wan = lab.LANPort, lab.WANPort
	key := "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"its server port": {dev(address(), "-bind", first.IP, "-server-port", port(lab.ServerPort)), []string{"the port is taken", "ports.server"}},
		"its LAN port":    {dev(address(), "-bind", first.IP, "-serf-lan-port", port(lan)), []string{"another process has this port", "ports.serf_lan"}},
		"its WAN port":    {dev(address(), "-bind", first.IP, "-serf-wan-port", port(wan)), []string{"another process has this port", "ports.serf_wan"}},
		"its HTTP port":   {dev(address(), "-client", first.IP, "-http-port", port(lab.HTTPPort)), []string{"the port is taken", "ports.http"}},
		"its data":        {dev(address(), "-data-dir", first.DataDir()), []string{"is locked by another agent (process ", "-data-dir"}},
		"its name":        {dev(address(), "-datacenter", "shanghai", "-node", first.Name, "-join", first.Addr(lan)), []string{"has the name of this agent", "node_name"}},
		"its ID": {dev(address(), "-datacenter", "shanghai", "-node-id", nodeID(t, first), "-join", first.Addr(lan)),
			[]string{"conflicting node ID", "node_id"}},
		"another datacenter":   {dev(address(), "-datacenter", "beijing", "-join", first.Addr(lan)), []string{"part of wrong datacenter 'shanghai'", "join -wan"}},
		"its other pool":       {dev(address(), "-datacenter", "shanghai", "-join", first.Addr(wan)), []string{"is of a WAN pool", "ports.serf_lan"}},
		"another or no key":    {dev(address(), "-datacenter", "shanghai", "-encrypt", key, "-join", first.Addr(lan)), []string{"give both the same encrypt key"}},
		"a port of its RPC":    {dev(address(), "-datacenter", "shanghai", "-join", first.Addr(lab.ServerPort)), []string{"the other side hung up", "ports.serf_lan"}},
		"nothing at that port": {dev(address(), "-datacenter", "shanghai", "-join", first.Addr(1)), []string{"nothing listens there", "start_join is tried once"}},
		"nobody, in the end":   {dev(address(), "-retry-join", first.Addr(1), "-retry-max", "1"), []string{"max join retry exhausted", "nothing listens there"}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, nil, c.args, c.want...) })
	}
	first.Put(t, "", "a", "1") // it has not even noticed
	first.WaitMembers(t, first.Name)
}

func nodeID(t *testing.T, n *lab.Node) string {
	t.Helper()
	id, err := os.ReadFile(filepath.Join(n.DataDir(), "node-id"))
	if err != nil {
		t.Fatal(err)
	}
	return string(id)
}

// asNobody runs the agent as a user who may write nowhere.
func asNobody(cmd *exec.Cmd) {
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	cmd.Dir = "/"
}

func TestDataDirectoryThatCannotBeWritten(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start an agent as another user")
	}
	dir, err := os.MkdirTemp("/tmp", "hanse-badinput-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := filepath.Join(dir, "hanse")
	program, err := os.ReadFile(lab.Binary(t)) // which may lie where nobody can reach it
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if err := errors.Join(os.WriteFile(binary, program, 0o755), os.Chmod(dir, 0o755), os.Mkdir(data, 0o555)); err != nil {
		t.Fatal(err)
	}
	how := func(cmd *exec.Cmd) {
		asNobody(cmd)
		cmd.Path = binary
	}
	for _, path := range []string{data, filepath.Join(dir, "new")} {
		refused(t, how, dev(address(), "-data-dir", path), "permission denied", path, "-data-dir")
	}
	if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
		t.Errorf("it has left %v there (%v)", left, err)
	}
}
