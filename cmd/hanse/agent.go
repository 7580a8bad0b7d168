package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/agent"
	"github.com/hanse-project/hanse/config"
)

// leaveWithin is how long a signalled agent may take to leave, besides the time to drain.
const leaveWithin = 15 * time.Second

var agentCommand = command{
	name:  "agent",
	short: "Run an agent",
	long: "Runs an agent until it is interrupted: a server of a datacenter with -server,\n" +
		"else a client of its servers. -dev runs a server alone that keeps nothing.",
	examples: []string{
		"agent -dev",
		"agent -server -bootstrap-expect=3 -data-dir=/srv/hanse -retry-join=h2",
		"agent -data-dir=/var/lib/hanse -config-dir=/etc/hanse.d",
	},
	prepare: func(fs *flag.FlagSet) work {
		flags := config.Register(fs)
		return func(ctx context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			return runAgent(ctx, std, flags)
		}
	},
}

func runAgent(ctx context.Context, std stdio, flags *config.Flags) error {
	cfg, warnings, err := flags.Load()
	if err != nil {
		return failf("==> %s", err)
	}
	terminal := &terminal{out: std.out}
	log, closeLog, err := agent.NewLogger(cfg.Log, terminal)
	if err != nil {
		return failf("==> %s", err)
	}
	defer closeLog()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	var banner io.Writer
	if !cfg.Log.JSON {
		banner = std.out
	}
	a, err := agent.New(cfg, agent.Options{Log: log, Banner: banner, Load: flags.Load, Warnings: warnings})
	if err != nil {
		terminal.ended.Store(true)
		log.Error("Error starting agent", "error", err)
		return failf("==> Error starting agent: %s", err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go obey(ctx, a, cfg, log, signals, stop)
	if err := a.Run(ctx); err != nil {
		terminal.ended.Store(true)
		log.Error("Agent failed", "error", err)
		return failf("==> %s", err)
	}
	return nil
}

// terminal takes the log until the last word, which goes to the log files and, as the
// command's own error, to the person, but not to that person twice.
type terminal struct {
	out   io.Writer
	ended atomic.Bool
}

func (t *terminal) Write(line []byte) (int, error) {
	if t.ended.Load() {
		return len(line), nil
	}
	return t.out.Write(line)
}

var errSignalled = errors.New("signalled")

// obey does what signals ask for: SIGHUP reloads, the others end the agent, after
// leaving if that is configured. A second one of those ends the process at once.
func obey(ctx context.Context, a *agent.Agent, cfg *config.Config, log hclog.Logger, signals <-chan os.Signal, stop context.CancelCauseFunc) {
	ending := false
	for {
		var sig os.Signal
		select {
		case sig = <-signals:
		case <-ctx.Done():
			return
		}
		if sig == syscall.SIGHUP {
			if err := a.Reload(); err != nil {
				log.Error("failed to reload", "error", err)
			}
			continue
		}
		if ending {
			fmt.Fprintln(os.Stderr, "==> Interrupted again, ending at once")
			os.Exit(exitFailed)
		}
		ending = true
		leave := cfg.LeaveOnTerm
		if sig == os.Interrupt {
			leave = !cfg.SkipLeaveOnInt
		}
		log.Info("Caught", "signal", sig.String(), "leaving", leave)
		go func() {
			if leave {
				within, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin+cfg.LeaveDrainTime)
				defer cancel()
				if err := a.Leave(within); err != nil {
					log.Error("failed to leave the cluster", "error", err)
				}
			}
			stop(errSignalled)
		}()
	}
}
