package floors

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/hanse-project/hanse/"
	root   = "../.."
)

// sideways are the imports within one floor that are allowed.
var sideways = map[string][]string{
	"kv":             {"session"},
	"session":        {"catalog"},
	"coordinate":     {"catalog"},
	"replicate/http": {"replicate"},
	"replicate/link": {"replicate"},
}

// parseFloors returns the floor of every package that the table of the page names.
func parseFloors(page string) (map[string]int, error) {
	row := regexp.MustCompile(`(?m)^\| (\d) \| ([^|]+) \|`)
	name := regexp.MustCompile("`([^`]+)`")
	floors := map[string]int{}
	for _, r := range row.FindAllStringSubmatch(page, -1) {
		floor, err := strconv.Atoi(r[1])
		if err != nil {
			return nil, err
		}
		for _, n := range name.FindAllStringSubmatch(r[2], -1) {
			if _, twice := floors[n[1]]; twice {
				return nil, fmt.Errorf("%s stands on two floors", n[1])
			}
			floors[n[1]] = floor
		}
	}
	if len(floors) == 0 {
		return nil, fmt.Errorf("no rows like \"| 1 | `name` | … |\"")
	}
	return floors, nil
}

// imports returns for every package of the repository the packages of the
// repository that it imports, tests left out, each with a file that does. Build
// constraints are ignored, so that a file for another system counts too.
func imports(t *testing.T) map[string]map[string]string {
	t.Helper()
	found := map[string]map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && path != root && (base == "testdata" || strings.HasPrefix(base, ".")) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(dir)
		if found[pkg] == nil {
			found[pkg] = map[string]string{}
		}
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			if ours, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module); ok {
				found[pkg][ours] = path
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// row returns the name by which the table knows a package: all below test/ are one row.
func row(pkg string) string {
	if strings.HasPrefix(pkg, "test/") {
		return "test/*"
	}
	return pkg
}

// violations says what the imports do that the floors forbid, and where table and
// code disagree about which packages there are.
func violations(floors map[string]int, imports map[string]map[string]string) []string {
	var out []string
	met := map[string]bool{}
	for pkg, uses := range imports {
		met[row(pkg)] = true
		floor, known := floors[row(pkg)]
		if !known {
			out = append(out, fmt.Sprintf("package %s has no floor: add it to the table", pkg))
			continue
		}
		for used, file := range uses {
			same := row(used) == row(pkg) || slices.Contains(sideways[pkg], used)
			if below, ok := floors[row(used)]; ok && below >= floor && !same {
				out = append(out, fmt.Sprintf("%s (floor %d) imports %s (floor %d) in %s", pkg, floor, used, below, file))
			}
		}
	}
	for pkg := range floors {
		if !met[pkg] {
			out = append(out, fmt.Sprintf("the table names %s, which is no package", pkg))
		}
	}
	slices.Sort(out)
	return out
}

func TestPackagesImportOnlyFloorsBelow(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	floors, err := parseFloors(string(page))
	if err != nil {
		t.Fatalf("docs/architecture.md: %v", err)
	}
	for _, v := range violations(floors, imports(t)) {
		t.Error(v)
	}
}

func TestWhatTheFloorsForbidIsFound(t *testing.T) {
	floors, err := parseFloors("| floor | packages |\n|---|---|\n| 1 | `low`, `low/part` | x |\n| 2 | `mid`, `kv`, `session`, `gone` | y |\n| 7 | `test/*` | z |\n")
	if err != nil {
		t.Fatal(err)
	}
	got := violations(floors, map[string]map[string]string{
		"low":      {"mid": "low/a.go"},
		"low/part": {"low": "low/part/a.go"},
		"mid":      {"low": "mid/a.go", "low/part": "mid/a.go"},
		"kv":       {"session": "kv/a.go"},
		"session":  {},
		"new":      {},
		"test/a":   {"test/b": "test/a/a.go", "mid": "test/a/a.go"},
		"test/b":   {},
	})
	want := []string{
		"low (floor 1) imports mid (floor 2) in low/a.go",
		"low/part (floor 1) imports low (floor 1) in low/part/a.go",
		"package new has no floor: add it to the table",
		"the table names gone, which is no package",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := parseFloors("| 1 | `low` | x |\n| 2 | `low` | y |\n"); err == nil {
		t.Error("a package on two floors was taken")
	}
	if _, err := parseFloors("nothing"); err == nil {
		t.Error("a page without a table was taken")
	}
}
