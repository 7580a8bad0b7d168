package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanse-project/hanse/config"
)

// logLines are the contents of the files in dir whose names begin with hanse, oldest
// first, the current one last.
func logLines(t *testing.T, dir string) []string {
	t.Helper()
	aside, err := filepath.Glob(filepath.Join(dir, "hanse-2*.log"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(aside)
	var all []string
	for _, path := range append(aside, filepath.Join(dir, "hanse.log")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}

func TestLogFileIsPutAside(t *testing.T) {
	cases := map[string]struct {
		cfg  config.Log
		want []string
	}{
		"when the next line would make it too large": {config.Log{RotateBytes: 8}, []string{"one\ntwo\n", "three\n", "four\n"}},
		"when it is too old":                         {config.Log{RotateDuration: 90 * time.Minute}, []string{"one\ntwo\n", "three\nfour\n"}},
		"and the oldest are removed":                 {config.Log{RotateBytes: 1, RotateMaxFiles: 1}, []string{"three\n", "four\n"}},
		"and none of the old is kept":                {config.Log{RotateBytes: 1, RotateMaxFiles: -1}, []string{"four\n"}},
		"never without a limit":                      {config.Log{}, []string{"one\ntwo\nthree\nfour\n"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				other := filepath.Join(dir, "hanse-notes.log")
				if err := os.WriteFile(other, []byte("mine"), 0o600); err != nil {
					t.Fatal(err)
				}
				c.cfg.File = dir + "/"
				f, err := openLogFile(c.cfg)
				if err != nil {
					t.Fatal(err)
				}
				for _, line := range []string{"one\n", "two\n", "three\n", "four\n"} {
					if n, err := f.Write([]byte(line)); n != len(line) || err != nil {
						t.Fatalf("wrote %d bytes of %q: %v", n, line, err)
					}
					time.Sleep(time.Hour)
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				if got := logLines(t, dir); !slices.Equal(got, c.want) {
					t.Errorf("files hold %q, want %q", got, c.want)
				}
				if _, err := os.Stat(other); err != nil {
					t.Error("a file that is not ours was removed")
				}
			})
		})
	}
}

func TestLogFileGoesOnWhereItWas(t *testing.T) {
	dir := t.TempDir()
	for _, line := range []string{"1234", "5678", "9"} {
		f, err := openLogFile(config.Log{File: filepath.Join(dir, "hanse"), RotateBytes: 8})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if got := logLines(t, dir); !slices.Equal(got, []string{"12345678", "9"}) {
		t.Errorf("files hold %q", got)
	}
}

func TestNameOfTheLogFile(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]string{
		dir:           "hanse.log",
		dir + "/":     "hanse.log",
		dir + "/a":    "a.log",
		dir + "/a.b":  "a.b",
		dir + "/c/d/": "c/d/hanse.log",
	} {
		if got := logPath(name); got != filepath.Join(dir, want) {
			t.Errorf("log_file %s is %s, want %s", name, got, want)
		}
	}
}

func TestLogFileThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := NewLogger(config.Log{Level: "INFO", File: filepath.Join(dir, "file", "x.log")}, t.Output())
	if err == nil || !strings.Contains(err.Error(), "log_file") {
		t.Errorf("error is %v, want one that names log_file", err)
	}
}

func TestLogGoesToTheTerminalAndToTheFile(t *testing.T) {
	dir := t.TempDir()
	var out strings.Builder
	log, done, err := NewLogger(config.Log{Level: "WARN", File: filepath.Join(dir, "hanse.log"), JSON: true}, &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("not this")
	log.Warn("this", "key", "value")
	if err := done(); err != nil {
		t.Fatal(err)
	}
	if file := logLines(t, dir)[0]; file != out.String() || !strings.Contains(file, `"key":"value"`) || strings.Contains(file, "not this") {
		t.Errorf("the file holds %q, the terminal shows %q", file, out.String())
	}
}
