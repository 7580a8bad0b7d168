// Package pages compares what docs/compatibility.md says with what the program does, so
// that no line of it stays behind.
package pages
