package agent

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	uuid "github.com/hashicorp/go-uuid"

	"github.com/hanse-project/hanse/config"
)

// nodeIDFile keeps the node ID in the data directory.
const nodeIDFile = "node-id"

// nodeID is the ID of this agent: the configured one, else the one kept in the data
// directory, else a new one that is kept there.
func nodeID(cfg *config.Config) (string, error) {
	path := filepath.Join(cfg.DataDir, nodeIDFile)
	if cfg.NodeID != "" {
		return cfg.NodeID, keepNodeID(cfg, path, cfg.NodeID)
	}
	if cfg.DataDir != "" {
		text, err := os.ReadFile(path)
		if err == nil {
			id := strings.ToLower(strings.TrimSpace(string(text)))
			if _, err := uuid.ParseUUID(id); err != nil {
				return "", fmt.Errorf("%s does not hold a node ID: %w; put the ID back, or remove the file to get a new one", path, err)
			}
			return id, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read the node ID: %w", err)
		}
	}
	id, err := newNodeID(cfg)
	if err != nil {
		return "", err
	}
	return id, keepNodeID(cfg, path, id)
}

func newNodeID(cfg *config.Config) (string, error) {
	if !cfg.DisableHostNodeID {
		if id, ok := hostNodeID(); ok {
			return id, nil
		}
	}
	id, err := uuid.GenerateUUID()
	if err != nil {
		return "", fmt.Errorf("make a node ID: %w", err)
	}
	return id, nil
}

// hostNodeID derives an ID from the machine's, so that it survives a lost data
// directory. It is a hash: machine-id(5) asks not to show the ID itself to others.
func hostNodeID() (string, bool) {
	text, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(strings.TrimSpace(string(text))) == 0 {
		return "", false
	}
	sum := sha256.Sum256([]byte("hanse node " + strings.TrimSpace(string(text))))
	id, err := uuid.FormatUUID(sum[:16])
	return id, err == nil
}

func keepNodeID(cfg *config.Config, path, id string) error {
	if cfg.DataDir == "" {
		return nil
	}
	// A file that was written half is one that stops the next start.
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, []byte(id), 0o600); err != nil {
		return fmt.Errorf("keep the node ID: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("keep the node ID: %w", err)
	}
	return nil
}
