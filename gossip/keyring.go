package gossip

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/hashicorp/memberlist"
)

// keyring returns the keys of the pool: those in file if it exists, else the
// configured one, which is then written there. Keys rotate in a running pool and the
// file follows, so it knows better than the configuration. nil means plain gossip.
func (c *Config) keyring(file string) (*memberlist.Keyring, error) {
	if len(c.Key) > 0 {
		if err := memberlist.ValidateKey(c.Key); err != nil {
			return nil, fmt.Errorf("encrypt has %d bytes: use a key of 16, 24 or 32 bytes in base64, as `hanse keygen` makes them",
				len(c.Key))
		}
	}
	if file == "" {
		if len(c.Key) == 0 {
			return nil, nil
		}
		return memberlist.NewKeyring(nil, c.Key)
	}
	keys, err := loadKeys(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(c.Key) == 0:
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		keys = [][]byte{c.Key}
		if err := saveKeys(file, keys); err != nil {
			return nil, fmt.Errorf("keep the key of %s gossip: %w", c.Pool, err)
		}
	case err != nil:
		return nil, err
	case len(c.Key) > 0 && !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, c.Key) }):
		c.Log.Warn("keyring exists and does not hold the given encrypt key: the key is ignored", "file", file)
	}
	return memberlist.NewKeyring(keys, keys[0])
}

// loadKeys reads a JSON array of base64 keys, the primary one first.
func loadKeys(file string) ([][]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read gossip keyring: %w", err)
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("gossip keyring %s: %w; repair it, or remove it to start from the encrypt key", file, err)
	}
	return keys, nil
}

func parseKeys(text []byte) ([][]byte, error) {
	var encoded []string
	if err := json.Unmarshal(text, &encoded); err != nil {
		return nil, err
	}
	if len(encoded) == 0 {
		return nil, errors.New("it holds no key")
	}
	keys := make([][]byte, len(encoded))
	for i, e := range encoded {
		key, err := base64.StdEncoding.DecodeString(e)
		if err == nil {
			err = memberlist.ValidateKey(key)
		}
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		keys[i] = key
	}
	return keys, nil
}

// saveKeys writes the file whole or not at all, for its owner only.
func saveKeys(file string, keys [][]byte) error {
	encoded := make([]string, len(keys))
	for i, k := range keys {
		encoded[i] = base64.StdEncoding.EncodeToString(k)
	}
	text, err := json.MarshalIndent(encoded, "", "  ")
	if err != nil {
		return err
	}
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}
