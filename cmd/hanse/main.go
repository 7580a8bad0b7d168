package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Exit codes that scripts know.
const (
	exitOK         = 0
	exitFailed     = 1
	exitNoCommand  = 127
	programName    = "hanse"
	flagsTooEarly  = "Invalid flags before the subcommand: put them after it, as in \"hanse kv get -stale KEY\"."
	undefinedStart = "flag provided but not defined: -"
)

// stdio is where a command reads and writes.
type stdio struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// run carries out one command line, without the program's name, and returns
// the exit code.
func run(ctx context.Context, args []string, std stdio) int {
	cmd, rest, ok := find(args)
	if !ok {
		return runRoot(ctx, args, std)
	}
	if asksHelp(rest) {
		io.WriteString(std.out, cmd.help())
		return exitOK
	}
	if cmd.prepare == nil { // a group of commands does nothing itself
		if len(rest) > 0 {
			io.WriteString(std.err, unknownCommand(cmd.name+" "+rest[0]))
		}
		io.WriteString(std.err, cmd.help())
		return exitFailed
	}

	fs := newFlagSet()
	work := cmd.prepare(fs)
	if err := fs.Parse(rest); err != nil {
		fmt.Fprintf(std.err, "%s\n%s%s", err, didYouMean(fs, err), cmd.help())
		return exitFailed
	}
	if fs.NArg() == len(rest) && len(rest) > 0 && len(below(cmd.name)) > 0 { // a subcommand was meant
		fmt.Fprintln(std.err, strings.TrimSpace(unknownCommand(cmd.name+" "+rest[0])))
		return exitFailed
	}
	return exitCode(work(ctx, std, fs.Args()), cmd, std.err)
}

// runRoot handles a command line that names no command.
func runRoot(ctx context.Context, args []string, std stdio) int {
	switch {
	case asksHelp(args):
		io.WriteString(std.out, rootHelp())
		return exitOK
	case len(args) > 0 && slices.Contains([]string{"-v", "-version", "--version"}, args[0]):
		return run(ctx, []string{"version"}, std)
	case len(args) > 0 && strings.HasPrefix(args[0], "-"):
		fmt.Fprintln(std.err, flagsTooEarly)
		return exitFailed
	case len(args) > 0:
		io.WriteString(std.err, unknownCommand(args[0]))
	}
	io.WriteString(std.err, rootHelp())
	return exitNoCommand
}

// asksHelp reports whether a help flag stands anywhere before "--", as users
// add one to the end of a line they were typing.
func asksHelp(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.ContainsFunc(args, func(arg string) bool {
		return arg == "-h" || arg == "-help" || arg == "--help"
	})
}

func newFlagSet() *flag.FlagSet {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // run prints the error and the help itself
	return fs
}

// didYouMean names the flag most like the one that err says is not defined, if any is.
func didYouMean(fs *flag.FlagSet, err error) string {
	unknown, ok := strings.CutPrefix(err.Error(), undefinedStart)
	if !ok {
		return ""
	}
	var known []string
	fs.VisitAll(func(f *flag.Flag) { known = append(known, f.Name) })
	if meant := similar(strings.TrimLeft(unknown, "-"), known); meant != "" {
		return fmt.Sprintf("Did you mean -%s?\n\n", meant)
	}
	return "\n"
}

// exitCode tells the user what went wrong and returns the code to end with.
func exitCode(err error, cmd command, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	if silent, ok := errors.AsType[silentExit](err); ok {
		return int(silent)
	}
	fmt.Fprintln(stderr, err)
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(stderr, "\n%s", cmd.help())
	}
	return exitFailed
}
