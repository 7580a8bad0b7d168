package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
)

// command is one subcommand.
type command struct {
	// name is what the user types after the program's name: "kv get".
	name string
	// args are the arguments after the options, as the usage line shows them.
	args string
	// short says in half a line what the command does.
	short string
	// long says it in full, in lines of at most 76 columns.
	long string
	// examples are complete command lines after the program's name.
	examples []string
	// prepare declares the flags and returns what to do once they are parsed.
	// It is nil for a group such as "kv", which only shows its help. "replicate" does
	// something and has subcommands as well.
	prepare func(fs *flag.FlagSet) work
}

// work does what a command is for. args is what followed the flags.
type work func(ctx context.Context, std stdio, args []string) error

// find returns the command that args begin with, the one of most words if
// several match, and what follows its words.
func find(args []string) (cmd command, rest []string, ok bool) {
	words := args
	if i := slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-") }); i >= 0 {
		words = args[:i]
	}
	for n := min(len(words), 3); n > 0; n-- {
		name := strings.Join(words[:n], " ")
		if i := slices.IndexFunc(commands, func(c command) bool { return c.name == name }); i >= 0 {
			return commands[i], args[n:], true
		}
	}
	return command{}, nil, false
}

// below returns the commands one word longer than the given name, in order of
// their names; for "" those of one word.
func below(name string) []command {
	var found []command
	for _, c := range commands {
		parent := ""
		if i := strings.LastIndexByte(c.name, ' '); i >= 0 {
			parent = c.name[:i]
		}
		if parent == name {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b command) int { return cmp.Compare(a.name, b.name) })
	return found
}

func unknownCommand(name string) string {
	var known []string
	for _, c := range commands {
		known = append(known, c.name)
	}
	if meant := similar(name, known); meant != "" {
		return fmt.Sprintf("Unknown command %q. Did you mean %q?\n\n", name, meant)
	}
	return fmt.Sprintf("Unknown command %q.\n\n", name)
}

func rootHelp() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n", programName)
	listCommands(&b, below(""))
	return b.String()
}

// help is what -h prints.
func (c command) help() string {
	var b strings.Builder
	if c.prepare == nil {
		fmt.Fprintf(&b, "Usage: %s %s <subcommand> [options] [args]\n", programName, c.name)
	} else {
		fmt.Fprintf(&b, "Usage: %s\n", strings.TrimSpace(programName+" "+c.name+" [options] "+c.args))
	}
	b.WriteByte('\n')
	for line := range strings.Lines(strings.TrimSpace(c.long) + "\n") {
		b.WriteString(strings.TrimRight("  "+line, " \n") + "\n")
	}
	b.WriteString("\nExamples:\n\n")
	for _, example := range c.examples {
		fmt.Fprintf(&b, "  $ %s %s\n", programName, example)
	}
	if c.prepare == nil {
		b.WriteString("\nSubcommands:\n")
		listCommands(&b, below(c.name))
		return b.String()
	}
	c.listFlags(&b)
	if list := below(c.name); len(list) > 0 {
		b.WriteString("\nSubcommands:\n")
		listCommands(&b, list)
	}
	return b.String()
}

func listCommands(b *strings.Builder, list []command) {
	width := 0
	for _, c := range list {
		width = max(width, len(lastWord(c.name)))
	}
	for _, c := range list {
		fmt.Fprintf(b, "    %-*s    %s\n", width, lastWord(c.name), c.short)
	}
}

func lastWord(name string) string { return name[strings.LastIndexByte(name, ' ')+1:] }

// listFlags writes the command's own flags and then those of the HTTP client,
// which are the same everywhere.
func (c command) listFlags(b *strings.Builder) {
	fs, shared := newFlagSet(), newFlagSet()
	c.prepare(fs)
	clusterFlags(shared)

	var own, http []*flag.Flag
	fs.VisitAll(func(f *flag.Flag) {
		if shared.Lookup(f.Name) != nil && fs.Lookup("http-addr") != nil {
			http = append(http, f)
		} else {
			own = append(own, f)
		}
	})
	writeFlags(b, "Options:", own)
	writeFlags(b, "HTTP API options:", http)
}

func writeFlags(b *strings.Builder, title string, list []*flag.Flag) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n\n", title)
	for _, f := range list {
		placeholder, usage := flag.UnquoteUsage(f)
		if placeholder != "" {
			placeholder = "=<" + placeholder + ">"
		}
		fmt.Fprintf(b, "  -%s%s\n", f.Name, placeholder)
		writeWrapped(b, usage)
	}
}

// writeWrapped breaks text into indented lines of at most 80 columns, unless a
// word is longer.
func writeWrapped(b *strings.Builder, text string) {
	const indent, columns = "      ", 80
	line := indent
	for _, word := range strings.Fields(text) {
		if line != indent && len(line)+len(word) > columns {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = indent
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}
