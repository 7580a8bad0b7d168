package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-project/hanse/test/programs"
)

// TestGettingStartedHoldsWordForWord runs the commands of the page in one shell. A block
// whose output the page shows is repeated until it prints that, as a reader would do.
func TestGettingStartedHoldsWordForWord(t *testing.T) {
	const root = "../.."
	page, err := os.ReadFile(filepath.Join(root, "docs/getting-started.md"))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := readSteps(string(page))
	if err != nil {
		t.Fatalf("docs/getting-started.md: %v", err)
	}
	programs.Installed(t, "dig", "bind9-dnsutils")
	programs.Installed(t, "curl", "curl")
	claimAddresses(t)
	sh := startShell(t, root)
	for _, s := range steps {
		follow(t, sh, s)
	}
}

func follow(t *testing.T, sh *shell, s step) {
	t.Helper()
	began := time.Now()
	defer func() { t.Logf("line %d took %v", s.line, time.Since(began)) }()
	printed := sh.run(t, s.commands)
	for late := time.Now().Add(patience); s.output != nil && !explains(s.output, printed); printed = sh.run(t, s.commands) {
		if time.Now().After(late) {
			logs := sh.run(t, "tail -n 15 *.log")
			t.Fatalf("docs/getting-started.md:%d:\n%s\n\nprints\n%s\n\nnot\n%s\n\nLogs:\n%s", s.line, s.commands,
				strings.Join(printed, "\n"), strings.Join(s.output, "\n"), strings.Join(logs, "\n"))
		}
		time.Sleep(100 * time.Millisecond) // a reader takes a moment to type it again
	}
}

// claimAddresses waits for its turn at the addresses of the page, which are fixed, and
// makes sure that their ports are free.
func claimAddresses(t *testing.T) {
	t.Helper()
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "hanse-e2e.lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatalf("lock %s: %v", lock.Name(), err)
	}
	for _, port := range []string{"8300", "8301", "8302", "8500", "8600"} {
		l, err := net.Listen("tcp", "127.0.1.1:"+port)
		if err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("the page needs its ports: %v", err)
			}
			t.Skipf("something else uses the ports of the page: %v", err)
		}
		l.Close()
	}
}
