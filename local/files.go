package local

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// The folders of the data directory.
const (
	servicesDir = "services"
	checksDir   = "checks"
	statesDir   = "checks/state"
)

// files are what outlives a restart: a JSON file for each service, check and state of a
// TTL check, named by a hash of its ID. Without a directory nothing is kept.
type files struct {
	root *os.Root
	log  hclog.Logger

	mu    sync.Mutex
	names map[string]bool // what is there
}

// keptService and keptCheck are the content of a file.
type (
	keptService struct {
		Service   *Service
		SidecarOf string `json:",omitempty"`
	}
	keptCheck struct{ Check *Check }
)

// keptState is how a TTL check was.
type keptState struct {
	CheckID string
	Status  string
	Output  string
	// Expires is when nobody would have heard from it for its whole time.
	Expires time.Time
}

func openFiles(dir string, log hclog.Logger) (*files, error) {
	f := &files{log: log, names: map[string]bool{}}
	if dir == "" {
		return f, nil
	}
	if err := os.MkdirAll(filepath.Join(dir, statesDir), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for checks: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, servicesDir), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for services: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the data directory: %w", err)
	}
	f.root = root
	for _, folder := range []string{servicesDir, checksDir, statesDir} {
		entries, err := fs.ReadDir(root.FS(), folder)
		if err != nil {
			return nil, fmt.Errorf("list %s in the data directory: %w", folder, err)
		}
		for _, e := range entries {
			if !e.IsDir() {
				f.names[folder+"/"+e.Name()] = true
			}
		}
	}
	return f, nil
}

// close lets go of the directory.
func (f *files) close() error {
	if f.root == nil {
		return nil
	}
	return f.root.Close()
}

func fileOf(folder, id string) string {
	sum := sha256.Sum256([]byte(id))
	return folder + "/" + hex.EncodeToString(sum[:]) + ".json"
}

func (f *files) saveService(def *Service) error {
	return f.save(fileOf(servicesDir, def.ID), keptService{def, def.sidecarOf}, true)
}

func (f *files) saveCheck(def *Check) error {
	return f.save(fileOf(checksDir, def.ID), keptCheck{def}, true)
}

// saveState does not wait for the disk: a state is worth little after a power cut.
func (f *files) saveState(id string, state keptState) error {
	state.CheckID = id
	return f.save(fileOf(statesDir, id), state, false)
}

// save replaces a file as a whole, or leaves it as it is.
func (f *files) save(name string, content any, sync bool) error {
	if f.root == nil {
		return nil
	}
	text, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("keep a definition: %w", err)
	}
	if err := f.write(name+".tmp", text, sync); err != nil {
		return fmt.Errorf("keep a definition in the data directory: %w", err)
	}
	if err := f.root.Rename(name+".tmp", name); err != nil {
		return fmt.Errorf("keep a definition in the data directory: %w", err)
	}
	f.mu.Lock()
	f.names[name] = true
	f.mu.Unlock()
	return nil
}

func (f *files) write(name string, text []byte, sync bool) error {
	file, err := f.root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil && sync {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func (f *files) removeService(id string) error { return f.remove(fileOf(servicesDir, id)) }

func (f *files) removeCheck(id string) error {
	f.removeState(id)
	return f.remove(fileOf(checksDir, id))
}

// forgetCheck removes the definition of a check and not its state.
func (f *files) forgetCheck(id string) {
	if err := f.remove(fileOf(checksDir, id)); err != nil {
		f.log.Warn("an old definition stays in the data directory", "check", id, "error", err)
	}
}

func (f *files) removeState(id string) {
	if err := f.remove(fileOf(statesDir, id)); err != nil {
		f.log.Warn("an old state stays in the data directory", "check", id, "error", err)
	}
}

func (f *files) remove(name string) error {
	f.mu.Lock()
	there := f.names[name]
	delete(f.names, name)
	f.mu.Unlock()
	if !there {
		return nil
	}
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a definition from the data directory: %w", err)
	}
	return nil
}

func (f *files) loadServices() []*Service {
	var all []*Service
	for _, kept := range load[keptService](f, servicesDir) {
		if kept.Service != nil {
			kept.Service.sidecarOf = kept.SidecarOf
			all = append(all, kept.Service)
		}
	}
	// Sidecars come after what they belong to.
	slices.SortStableFunc(all, func(a, b *Service) int { return cmp.Compare(a.sidecarOf, b.sidecarOf) })
	return all
}

func (f *files) loadChecks() []*Check {
	var all []*Check
	for _, kept := range load[keptCheck](f, checksDir) {
		if kept.Check != nil {
			all = append(all, kept.Check)
		}
	}
	return all
}

// load reads the files of a folder. One that cannot be read is named, left where it is,
// and does not keep the others from being read.
func load[T any](f *files, folder string) []T {
	if f.root == nil {
		return nil
	}
	entries, err := fs.ReadDir(f.root.FS(), folder)
	if err != nil {
		f.log.Warn("a folder of the data directory cannot be read", "folder", folder, "error", err)
	}
	var all []T
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".json") {
			continue // a folder, or what a crash left half-written
		}
		var kept T
		text, err := f.root.ReadFile(folder + "/" + e.Name())
		if err == nil {
			err = json.Unmarshal(text, &kept)
		}
		if err != nil {
			f.log.Warn("a kept definition is damaged and left out: register it again, and remove the file",
				"file", filepath.Join(f.root.Name(), folder, e.Name()), "error", err)
			continue
		}
		all = append(all, kept)
	}
	return all
}

func (f *files) loadState(id string) (keptState, bool) {
	name := fileOf(statesDir, id)
	f.mu.Lock()
	there := f.names[name]
	f.mu.Unlock()
	if !there {
		return keptState{}, false
	}
	var state keptState
	text, err := f.root.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err == nil && state.CheckID != id {
		err = fmt.Errorf("it holds the state of %q", state.CheckID)
	}
	if err != nil {
		f.log.Warn("the kept state of a check is damaged and left out", "check", id, "file", filepath.Join(f.root.Name(), name), "error", err)
	}
	return state, err == nil
}
