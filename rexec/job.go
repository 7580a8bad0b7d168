package rexec

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Prefix is where jobs are, unless somebody says otherwise.
const Prefix = "_rexec"

// Order is the payload of the event that asks for a job.
type Order struct {
	// Prefix and Session name the folder of the job.
	Prefix, Session string
}

// Job is what to run: a line for the shell, or a program with its arguments, or a script.
type Job struct {
	Command string
	Args    []string
	Script  []byte
	// Wait is how long whoever asked waits without hearing anything.
	Wait time.Duration
}

// shownCommand is how much of a command the log shows, in bytes.
const shownCommand = 200

// String is the job for the log.
func (j Job) String() string {
	command := j.Command
	switch {
	case len(j.Script) > 0:
		return fmt.Sprintf("a script of %d bytes", len(j.Script))
	case len(j.Args) > 0:
		command = strings.Join(j.Args, " ")
	}
	if len(command) > shownCommand {
		command = strings.ToValidUTF8(command[:shownCommand], "") + "…"
	}
	return command
}

// JobKey is the key of the job.
func (o Order) JobKey() string { return o.Folder() + "job" }

// Folder is the beginning of all keys of the job.
func (o Order) Folder() string { return o.Prefix + "/" + o.Session + "/" }

// parseOrder reads an event's payload, which anyone may have sent.
func parseOrder(payload []byte) (Order, error) {
	var o Order
	if err := json.Unmarshal(payload, &o); err != nil {
		return o, fmt.Errorf("read the order: %w", err)
	}
	if o.Prefix == "" || o.Session == "" || strings.Contains(o.Session, "/") {
		return o, errors.New("read the order: it names no prefix or no session")
	}
	return o, nil
}

// parseJob reads a job.
func parseJob(value []byte) (Job, error) {
	var j Job
	if err := json.Unmarshal(value, &j); err != nil {
		return j, fmt.Errorf("read the job: %w", err)
	}
	if j.Command == "" && len(j.Args) == 0 && len(j.Script) == 0 {
		return j, errors.New("read the job: there is nothing to run in it")
	}
	if len(j.Args) > 0 && j.Args[0] == "" {
		return j, errors.New("read the job: the program has no name")
	}
	return j, nil
}

// The bounds of a heartbeat, so that neither the log is flooded nor a job outlives its
// session for long.
const (
	minHeartbeat = 250 * time.Millisecond
	maxHeartbeat = 10 * time.Second
)

// heartbeat is how long a job may be silent.
func (j Job) heartbeat() time.Duration { return min(max(j.Wait/2, minHeartbeat), maxHeartbeat) }
