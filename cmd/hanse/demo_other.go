//go:build !linux

package main

import "syscall"

// ownProcess keeps the terminal's Ctrl-C from a process that we end ourselves.
func ownProcess() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
