//go:build linux

package clients

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
	"github.com/hanse-project/hanse/test/programs"
)

// The account servers register themselves with the agents of their machines, and the
// client finds those that are well, in its datacenter or in another.
func TestAccountServersAreFound(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 1), lab.Clients("shanghai", 2), lab.Servers("beijing", 1))
	one, two, there := fed.Node("shanghai-c1"), fed.Node("shanghai-c2"), fed.Node("beijing-s1")
	says(t, beside(one), "accounts", "no account server is healthy")
	first := start(t, one, "account", "account-1")
	second := start(t, two, "account", "account-2")
	both := []string{"account of ann at account-1", "account of ann at account-2", "2 healthy"}
	says(t, beside(one), "accounts", both...)
	says(t, beside(there), "accounts", "no account server is healthy")
	says(t, append(beside(there), "DC=shanghai"), "accounts", both...)

	second.End(t, syscall.SIGKILL)
	says(t, beside(one), "accounts", "account of ann at account-1", "1 healthy")
	checks := func(id, want string) {
		t.Helper()
		lab.Until(t, id+" is "+want, func() error {
			found, _, err := one.API(t).Health().Checks("AccountServer", nil)
			if err != nil {
				return err
			}
			for _, c := range found {
				if c.ServiceID == id && c.Status == want {
					return nil
				}
			}
			return fmt.Errorf("the checks are %v", found)
		})
	}
	checks("account-2", api.HealthCritical) // it stays in the catalog until it has been for a minute
	second = start(t, two, "account", "account-2")
	says(t, beside(one), "accounts", both...)

	if ended := first.End(t, syscall.SIGTERM); !ended.Success() {
		t.Errorf("the first ended with %v", ended)
	}
	says(t, beside(two), "accounts", "account of ann at account-2", "1 healthy")
	if ended := second.End(t, syscall.SIGTERM); !ended.Success() {
		t.Errorf("the second ended with %v", ended)
	}
	says(t, beside(two), "accounts", "no account server is healthy")
	services, _, err := one.API(t).Catalog().Services(nil)
	if err != nil || len(services) != 1 {
		t.Errorf("the services are %v, %v", services, err)
	}
}

// A client of gRPC takes turns between two instances of hello. One dies, and all calls
// go to the other; one more comes, and gets its share.
func TestHelloGoesOnWhenAnInstanceDies(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 1), lab.Clients("shanghai", 2))
	one, two := fed.Node("shanghai-c1"), fed.Node("shanghai-c2")
	start(t, one, "hello", "hello-1")
	second := start(t, two, "hello", "hello-2")
	greet := programs.Start(t, filepath.Join(built, "greet"), beside(fed.Node("shanghai-s1")))
	turns(t, greet, "hello-1", "hello-2")
	second.End(t, syscall.SIGKILL)
	turns(t, greet, "hello-1")
	third := start(t, one, "hello", "hello-3")
	turns(t, greet, "hello-1", "hello-3")
	if ended := third.End(t, syscall.SIGTERM); !ended.Success() {
		t.Errorf("the third ended with %v", ended)
	}
	turns(t, greet, "hello-1")
	two.Kill(t) // with the dead instance on it
	turns(t, greet, "hello-1")
}

// turns waits until the last 20 greetings came from exactly these instances, each the
// same number of times.
func turns(t *testing.T, greet *programs.Process, ids ...string) {
	t.Helper()
	const last = 20
	before := len(greet.Wrote(t))
	lab.Until(t, fmt.Sprintf("greetings come from %v", ids), func() error {
		lines := greet.Wrote(t)
		if len(lines) < before+last {
			return fmt.Errorf("only %d greetings", len(lines)-before)
		}
		lines = lines[len(lines)-last:]
		text := strings.Join(lines, "\n")
		for _, id := range ids {
			if strings.Count(text, "hello world, this is "+id) != last/len(ids) {
				return fmt.Errorf("the last are\n%s", text)
			}
		}
		return nil
	})
}
