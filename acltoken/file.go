package acltoken

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// fileName is where Consul's agents keep tokens too.
const fileName = "acl-tokens.json"

// file keeps tokens in a data directory, a JSON object of names and secrets that only its
// owner may read.
type file struct{ dir string }

func (f *file) path() string { return filepath.Join(f.dir, fileName) }

func (f *file) read() (map[Kind]string, error) {
	text, err := os.ReadFile(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return map[Kind]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the tokens that were kept: %w", err)
	}
	kept, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("read the tokens that were kept in %s: %w: mend the file, or remove it and set the tokens again", f.path(), err)
	}
	return kept, nil
}

// decode reads the content of a file. Names that nobody knows are left out.
func decode(text []byte) (map[Kind]string, error) {
	named := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &named); err != nil {
		return nil, err
	}
	kept := map[Kind]string{}
	for name, value := range named {
		kind, known := Named(name)
		if !known {
			continue
		}
		var secret string
		if err := json.Unmarshal(value, &secret); err != nil {
			return nil, fmt.Errorf("%s: use a text", name)
		}
		if _, both := kept[kind]; !both || name == string(kind) {
			kept[kind] = secret
		}
	}
	return kept, nil
}

// write replaces the file as a whole, or leaves it as it is.
func (f *file) write(kept map[Kind]string) error {
	text, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("keep a token: %w", err)
	}
	temporary, err := os.CreateTemp(f.dir, fileName+".*") // 0600
	if err != nil {
		return fmt.Errorf("keep a token in the data directory: %w", err)
	}
	_, err = temporary.Write(text)
	if err == nil {
		err = temporary.Sync()
	}
	err = errors.Join(err, temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), f.path())
	}
	if err != nil {
		return fmt.Errorf("keep a token in the data directory: %w", errors.Join(err, os.Remove(temporary.Name())))
	}
	return nil
}
