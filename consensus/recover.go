package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// peersFile is where an operator writes the members that are left, after a majority
// was lost for good: [{"id": "…", "address": "host:port", "non_voter": false}, …].
const peersFile = "peers.json"

// recoverPeers makes the members named in peers.json the members of the log, and
// removes the file. All that this server logged counts as committed then.
func recoverPeers(dataDir string, conf *raft.Config, fsm raft.FSM, s stores, trans raft.Transport, log hclog.Logger) error {
	path := filepath.Join(dataDir, "raft", peersFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("consensus: recovery file: %w", err)
	}
	members, err := raft.ReadConfigJSON(path)
	if err != nil {
		return fmt.Errorf(`consensus: recovery file %s: %w; write [{"id": "ID", "address": "HOST:PORT"}, …] with all servers that are left, the same on each, or remove the file to start without recovery`, path, err)
	}
	if err := raft.RecoverCluster(conf, fsm, s.logs, s.stable, s.snaps, trans, members); err != nil {
		return fmt.Errorf("consensus: recovery with %s: %w; remove the file to start without recovery", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("consensus: recovery is done but its file stays: %w; remove it, or the next start will recover again", err)
	}
	log.Info("deleted peers.json file after successful recovery", "servers", len(members.Servers))
	return nil
}
