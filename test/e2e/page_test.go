package e2e

import (
	"slices"
	"strings"
	"testing"
)

func TestCommandsAndOutputsAreRead(t *testing.T) {
	steps, err := readSteps("text\n\n```sh\na\nb\n```\n\nmore\n\n```text\nout\n```\n\n```sh\nc\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []step{{line: 4, commands: "a\nb", output: []string{"out"}}, {line: 15, commands: "c"}}
	if !slices.EqualFunc(steps, want, func(a, b step) bool {
		return a.line == b.line && a.commands == b.commands && slices.Equal(a.output, b.output)
	}) {
		t.Errorf("read %+v, want %+v", steps, want)
	}
	for _, page := range []string{"nothing", "```sh\na\n", "```text\nout\n```\n", "```python\na\n```\n"} {
		if steps, err := readSteps(page); err == nil {
			t.Errorf("%q was read as %+v", page, steps)
		}
	}
}

func TestShownOutputIsComparedLoosely(t *testing.T) {
	for name, c := range map[string]struct {
		shown, printed string
		want           bool
	}{
		"the same":                  {"a  b", "a  b", true},
		"other widths":              {"a  b", "a     b ", true},
		"another order":             {"a\nb", "b\na", true},
		"a line too few":            {"a\nb", "a", false},
		"a line too many":           {"a", "a\nb", false},
		"a line twice":              {"a\na", "a\nb", false},
		"empty lines":               {"a", "\na\n\n", true},
		"more lines, as shown":      {"a\n…", "a\nb\nc", true},
		"no more lines, as shown":   {"…\na", "a", true},
		"something within a line":   {"x … z", "x y1 y2 z", true},
		"at the end of a line":      {"x: …", "x: y", true},
		"something else":            {"x … z", "x y", false},
		"special characters":        {"a.(b)*", "a.(b)*", true},
		"special characters differ": {"a.b", "axb", false},
	} {
		if got := explains(strings.Split(c.shown, "\n"), strings.Split(c.printed, "\n")); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
