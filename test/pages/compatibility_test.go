package pages

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/httpapi"
	"github.com/hanse-project/hanse/local"
	"github.com/hanse-project/hanse/test/lab"
)

const root = "../.."

const notYet = "not yet"

// row is a line of a table: its cells, without the spaces around them.
type row []string

// names are what stands between backticks in the first cell, with a{b,c} spelt out.
func (r row) names(cell int) []string {
	var out []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(r[cell], -1) {
		out = append(out, expand(m[1])...)
	}
	return out
}

func expand(name string) []string {
	before, rest, found := strings.Cut(name, "{")
	if !found {
		return []string{name}
	}
	choices, after, _ := strings.Cut(rest, "}")
	var out []string
	for choice := range strings.SplitSeq(choices, ",") {
		out = append(out, expand(before+choice+after)...)
	}
	return out
}

// section returns the rows of all tables between two headings of the page.
func section(t *testing.T, from, to string) []row {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/compatibility.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n"+from+"\n")
	if !found {
		t.Fatalf("no heading %q", from)
	}
	text, _, found = strings.Cut(text, "\n"+to+"\n")
	if !found {
		t.Fatalf("no heading %q after %q", to, from)
	}
	var rows []row
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || !strings.Contains(line, "`") {
			continue
		}
		var r row
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			r = append(r, strings.TrimSpace(cell))
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		t.Fatalf("no tables under %q", from)
	}
	return rows
}

// stringsIn yields the string literals of a package's sources, tests left out.
func stringsIn(t *testing.T, files ...string) []string {
	t.Helper()
	var out []string
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, text)
			}
			return true
		})
	}
	return out
}

// routes are the endpoints that httpapi names in its sources, a path or, with a slash at
// its end, everything below one.
func routes(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "httpapi/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	endpoint := regexp.MustCompile(`^/v1/[a-z]+[a-z/-]*$`)
	return slices.DeleteFunc(stringsIn(t, files...), func(s string) bool { return !endpoint.MatchString(s) })
}

// routeOf is the one of the routes that answers a path: itself, or the longest above it.
func routeOf(routes []string, path string) string {
	best := ""
	for _, r := range routes {
		if r == path || strings.HasSuffix(r, "/") && strings.HasPrefix(path, r) && len(r) > len(best) {
			best = r
		}
		if best == path {
			break
		}
	}
	return best
}

func TestEndpointsAreAsThePageSays(t *testing.T) {
	api := httpapi.New(httpapi.Config{Log: hclog.NewNullLogger(), Snapshots: struct{ httpapi.Snapshots }{}, Leaves: struct{ httpapi.Leaves }{}, Local: new(local.State)})
	known := routes(t)
	told := map[string][]string{} // by route, the methods of all paths below it
	for _, r := range section(t, "## HTTP API", "## Command line") {
		if len(r) != 4 || len(r.names(1)) != 1 {
			continue // a sentence with backticks in it, not a row of endpoints
		}
		path, status := r.names(1)[0], r[2]
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(http.MethodOptions, path, nil))
		switch {
		case status != "works" && status != "differs" && status != notYet:
			t.Errorf("%s: what is %q?", path, status)
		case (w.Code == http.StatusNotFound) != (status == notYet):
			t.Errorf("%s: the page says %q, OPTIONS answers %d", path, status, w.Code)
		case status != notYet:
			route := routeOf(known, path)
			told[route] = append(told[route], strings.Fields(r[0])...)
		}
	}
	for _, route := range known {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(http.MethodOptions, route, nil))
		got := sorted(strings.Split(w.Header().Get("Allow"), ","))
		if want := sorted(append(told[route], http.MethodOptions)); !slices.Equal(got, want) {
			t.Errorf("%s allows %q, the page tells of %q", route, got, want)
		}
	}
}

// sorted is the list in order, each only once.
func sorted(methods []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(methods)))
}

// help is what the program prints for -h, and whether it knows the command.
func help(t *testing.T, command ...string) (string, bool) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), lab.Binary(t), append(command, "-h")...).Output()
	text := string(out)
	return text, err == nil && strings.HasPrefix(text, strings.Join(append([]string{"Usage: hanse"}, command...), " "))
}

func TestCommandsAreAsThePageSays(t *testing.T) {
	told := map[string]bool{}
	for _, r := range section(t, "## Command line", "### Flags of `agent`") {
		name := r.names(0)[0]
		told[name] = true
		if _, known := help(t, strings.Fields(name)...); known == (r[1] == notYet) {
			t.Errorf("%s: the page says %q; the program knows it: %v", name, r[1], known)
		}
	}
	commands := regexp.MustCompile(`(?m)^    ([a-z-]+) `)
	var walk func(group []string)
	walk = func(group []string) {
		text, _ := help(t, group...)
		_, list, found := strings.Cut(text, "\nSubcommands:\n")
		if len(group) == 0 {
			_, list, found = strings.Cut(text, "\nAvailable commands are:\n")
		}
		if !found {
			if name := strings.Join(group, " "); !told[name] {
				t.Errorf("the page does not tell of hanse %s", name)
			}
			return
		}
		for _, m := range commands.FindAllStringSubmatch(list, -1) {
			walk(append(slices.Clone(group), m[1]))
		}
	}
	walk(nil)
}

func TestFlagsAreAsThePageSays(t *testing.T) {
	text, _ := help(t, "agent")
	actual := map[string]bool{} // and whether it is ignored
	for _, m := range regexp.MustCompile(`(?m)^  (-[a-z_-]+).*\n +(.*)`).FindAllStringSubmatch(text, -1) {
		actual[m[1]] = strings.HasPrefix(m[2], "Known, and ignored")
	}
	for _, r := range section(t, "### Flags of `agent`", "## Configuration keys") {
		for _, name := range r.names(0) {
			ignored, known := actual[name]
			if !known {
				t.Errorf("%s is no flag", name)
			}
			if ignored != (r[2] == "named in a warning") {
				t.Errorf("%s: the page says %q %q; ignored: %v", name, r[1], r[2], ignored)
			}
			delete(actual, name)
		}
	}
	for name := range actual {
		t.Errorf("the page does not tell of %s", name)
	}
}

// verdict is what the program says to a key, whatever its value.
func verdict(t *testing.T, key string) (known bool, warnings string) {
	t.Helper()
	parts := strings.Split(key, ".")
	var value any = []any{[]any{}} // of no type that a key has
	for _, part := range slices.Backward(parts) {
		value = map[string]any{part: value}
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, list, err := config.Load(path)
	known = err == nil || !strings.Contains(err.Error(), "unknown")
	return known, strings.Join(list, "\n")
}

func TestConfigurationKeysAreAsThePageSays(t *testing.T) {
	if known, _ := verdict(t, "no_such_key"); known {
		t.Fatal("a key that nobody knows is taken, so this test would find nothing")
	}
	told := map[string]bool{}
	for _, r := range section(t, "## Configuration keys", "## DNS") {
		for _, key := range r.names(0) {
			if !told[key] && strings.Contains(key, " ") {
				continue // a command in a sentence
			}
			told[key] = true
			known, warnings := verdict(t, key)
			switch {
			case !known:
				t.Errorf("%s is no key", key)
			case len(r) == 2 && !strings.Contains(warnings, r[1]):
				t.Errorf("%s: the page says %q, the program %q", key, r[1], warnings)
			case len(r) == 3 && strings.Contains(warnings, "was ignored"):
				t.Errorf("%s: the page says %q, the program %q", key, r[1], warnings)
			}
		}
	}
	name := regexp.MustCompile(`^[a-z][a-z0-9_]+(\.[a-z0-9_]+)*$`)
	for _, key := range stringsIn(t, filepath.Join(root, "config/keys.go"), filepath.Join(root, "config/later.go")) {
		if !name.MatchString(key) || told[key] {
			continue
		}
		if known, warnings := verdict(t, key); known && (warnings == "" || strings.Contains(warnings, key)) {
			t.Errorf("the page does not tell of %s", key)
		}
	}
}
