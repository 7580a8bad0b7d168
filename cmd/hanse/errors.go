package main

import "fmt"

// The error of a command is printed as it is and ends the program with code 1.
// Two kinds are treated otherwise: see run.

// failure is an error in the words that users of Consul know, some of which
// begin with a capital letter or end with a full stop.
type failure string

func (f failure) Error() string { return string(f) }

// failf returns a failure; it does not wrap, since the error ends here.
func failf(format string, args ...any) error {
	return failure(fmt.Sprintf(format, args...))
}

// usageError is a mistake in the command line; the command's help follows it.
type usageError string

func (e usageError) Error() string { return string(e) }

// silentExit ends the program with this code and no message.
type silentExit int

func (e silentExit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// wantArgs complains unless exactly n arguments were given.
func wantArgs(args []string, n int) error {
	switch {
	case len(args) > n:
		return failf("Too many arguments (expected %d, got %d)", n, len(args))
	case len(args) < n:
		return failf("Not enough arguments (expected %d, got %d)", n, len(args))
	}
	return nil
}
