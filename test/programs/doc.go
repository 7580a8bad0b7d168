// Package programs runs the programs of others beside a test, as they are: those of
// Debian ([Installed]), and those that the Go module proxy has the sources of ([Built]).
// A program ends with its test, and shows what it wrote last if the test has failed.
package programs
