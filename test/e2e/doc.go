// Package e2e runs what the documentation tells people to run, as it is printed there,
// with the real program as separate processes.
package e2e
