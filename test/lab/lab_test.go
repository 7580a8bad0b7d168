//go:build linux

package lab_test

import (
	"testing"

	"github.com/hanse-project/hanse/test/lab"
)

func TestFederationInOneProcessIsWhole(t *testing.T) {
	fed := lab.Start(t, lab.Steady(), lab.Servers("shanghai", 3), lab.Servers("beijing", 3), lab.Clients("beijing", 1))
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	shanghai.Put(t, "config/limit", "20")
	shanghai.WaitFor(t, "config/limit", "20")
	fed.Node("beijing-c1").Put(t, "shanghai", "config/limit", "21")
	shanghai.WaitFor(t, "config/limit", "21")
	old := beijing.KillLeader(t)
	beijing.Put(t, "config/limit", "5")
	old.Start(t)
	old.WaitFor(t, "config/limit", "5")
}

func TestFederationOfProcessesIsWhole(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Servers("beijing", 1), lab.Clients("beijing", 1))
	shanghai := fed.DC("shanghai")
	old := shanghai.KillLeader(t)
	fed.Node("beijing-c1").Put(t, "shanghai", "config/limit", "21")
	old.Start(t)
	old.WaitFor(t, "config/limit", "21")
	leader := shanghai.Leader(t)
	leader.Freeze(t)
	fed.Node("beijing-c1").Put(t, "shanghai", "config/limit", "22")
	leader.Thaw(t)
	shanghai.WaitFor(t, "config/limit", "22")
	leader.Restart(t)
	shanghai.WaitWhole(t)
}
