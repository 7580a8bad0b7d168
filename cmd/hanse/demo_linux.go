package main

import "syscall"

// ownProcess keeps the terminal's Ctrl-C from a process that we end ourselves, and has
// the kernel kill it if we die before.
func ownProcess() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
