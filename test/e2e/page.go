package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// step is a block of commands of a page, and what the page says that it prints.
type step struct {
	line     int // of the page where the commands begin
	commands string
	output   []string // nil if the page says nothing
}

// readSteps returns the blocks of a page that are fenced as sh, each with the one
// fenced as text that follows it.
func readSteps(page string) ([]step, error) {
	var steps []step
	var fence string
	var begin int
	var block []string
	for i, line := range strings.Split(page, "\n") {
		mark, isFence := strings.CutPrefix(line, "```")
		switch {
		case !isFence && fence != "":
			block = append(block, line)
		case !isFence:
		case fence == "":
			fence, begin, block = mark, i+2, nil
		default:
			switch {
			case fence == "sh":
				steps = append(steps, step{line: begin, commands: strings.Join(block, "\n")})
			case fence == "text" && len(steps) > 0 && steps[len(steps)-1].output == nil:
				steps[len(steps)-1].output = block
			default:
				return nil, fmt.Errorf("line %d: a block of %q that belongs to no commands", begin, fence)
			}
			fence = ""
		}
	}
	if fence != "" {
		return nil, fmt.Errorf("line %d: the block does not end", begin)
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("no commands")
	}
	return steps, nil
}

// explains tells whether what was printed is what the page shows. Every line of one has
// to be in the other, in any order, since tables are sorted by what differs each time.
// The widths of columns and empty lines do not count; … stands for anything within a line, and for any
// further lines if it is alone on its own.
func explains(shown, printed []string) bool {
	printed = slices.DeleteFunc(slices.Clone(printed), func(s string) bool { return strings.TrimSpace(s) == "" })
	more := false
	for _, line := range shown {
		switch strings.TrimSpace(line) {
		case "":
			continue
		case "…":
			more = true
			continue
		}
		i := slices.IndexFunc(printed, pattern(line).MatchString)
		if i < 0 {
			return false
		}
		printed = slices.Delete(printed, i, i+1)
	}
	return more || len(printed) == 0
}

// pattern matches the lines that look like one of the page.
func pattern(line string) *regexp.Regexp {
	parts := strings.Split(strings.Join(strings.Fields(line), " "), "…")
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(regexp.QuoteMeta(part), " ", `\s+`)
	}
	return regexp.MustCompile(`^\s*` + strings.Join(parts, ".*") + `\s*$`)
}
