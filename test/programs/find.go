//go:build linux

package programs

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hanse-project/hanse/test/lab"
)

// Installed is the path of a program that the Debian package brings. The test is skipped
// if it is not here, and fails in CI.
func Installed(t testing.TB, name, debian string) string {
	t.Helper()
	for _, place := range []string{name, "/usr/sbin/" + name} { // not in the path of everyone
		if path, err := exec.LookPath(place); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("CI needs %s: apt-get install %s", name, debian)
	}
	t.Skipf("%s is not here: apt-get install %s", name, debian)
	return ""
}

// A Source is where a program is built from, with the dependencies that its own go.mod
// and go.sum name.
type Source struct {
	Module, Version string
	Package         string // within the module
	Tags            string // for the build
}

var (
	// ConsulTemplate renders files from what it finds in the catalog.
	ConsulTemplate = Source{Module: "github.com/hashicorp/consul-template", Version: "v0.41.1", Package: "."}
	// ConsulExporter shows the health of a datacenter to Prometheus.
	ConsulExporter = Source{Module: "github.com/prometheus/consul_exporter", Version: "v0.13.0", Package: "./cmd/consul_exporter"}
	// Prometheus with the discovery of Consul, which Debian's has been built without. The
	// other discoveries would take minutes to build.
	Prometheus = Source{Module: "github.com/prometheus/prometheus", Version: "v0.316.0", Package: "./cmd/prometheus",
		Tags: "remove_all_sd,enable_consul_sd"}
)

// Built is the path of a program, built from what the Go module proxy has. It stays in
// the user's cache. Without a network the test fails, unless it is there already.
func Built(t testing.TB, s Source) string {
	t.Helper()
	path, err := s.build()
	if err != nil {
		t.Fatalf("build %s@%s: %v", s.Module, s.Version, err)
	}
	return path
}

// build lets one test binary build at a time, so that those that wait find it done.
func (s Source) build() (string, error) {
	dir, unlock, err := lab.CacheFolder("hanse-clients")
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, filepath.Base(s.Module)+"-"+s.Version)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	sources, err := s.download()
	if err != nil {
		return "", err
	}
	if _, err := run(sources, "build", "-mod=readonly", "-buildvcs=false", "-tags="+s.Tags, "-o", path+".new", s.Package); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}

// download returns the folder of the module cache with the sources.
func (s Source) download() (string, error) {
	out, err := run("", "mod", "download", "-json", s.Module+"@"+s.Version)
	var answer struct{ Dir, Error string }
	if json.Unmarshal(out, &answer) == nil && answer.Error != "" {
		return "", fmt.Errorf("download: %s", answer.Error)
	}
	return answer.Dir, err
}

// run runs the go command outside of any module and workspace but the one in dir.
func run(dir string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		err = fmt.Errorf("go %s: %w\n%s", args[0], err, exit.Stderr)
	}
	return out, err
}
