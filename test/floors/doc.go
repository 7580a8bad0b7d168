// Package floors holds the house in order: a test reads the table of packages in
// docs/architecture.md and compares it with what the code imports.
package floors
