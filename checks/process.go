package checks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hanse-project/hanse/process"
)

// verdict is what a command says by its exit code.
func verdict(code int) string {
	switch code {
	case 0:
		return Passing
	case 1:
		return Warning
	}
	return Critical
}

// timedOut is what a turn that took too long says.
func timedOut(limit time.Duration, out *process.Tail) string {
	said := fmt.Sprintf("Timed out (%s) running check", limit)
	if !out.Empty() {
		said += ": " + out.String()
	}
	return said
}

// script runs a command.
func script(d *Definition) probe {
	return func(ctx context.Context) (string, string) {
		out := &process.Tail{Limit: d.OutputMaxSize}
		code, err := process.Run(ctx, process.Command{Args: d.Args, Output: out})
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return Critical, timedOut(d.timeout(), out)
		case err != nil:
			return Critical, err.Error()
		}
		return verdict(code), out.String()
	}
}

// osService asks systemd. What cannot be found out is a warning.
func osService(d *Definition) probe {
	return func(ctx context.Context) (string, string) {
		out := &process.Tail{Limit: d.OutputMaxSize}
		_, err := process.Run(ctx, process.Command{Args: []string{"systemctl", "is-active", "--", d.OSService}, Output: out})
		if err != nil {
			return Warning, fmt.Sprintf("OS service %q: cannot ask systemd: %v", d.OSService, err)
		}
		state := strings.TrimSpace(out.String())
		said := fmt.Sprintf("OS service %q is %s", d.OSService, state)
		switch state {
		case "active", "reloading", "refreshing":
			return Passing, said
		case "inactive", "failed", "deactivating", "unknown":
			return Critical, said
		}
		return Warning, said
	}
}
