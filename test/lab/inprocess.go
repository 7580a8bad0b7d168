//go:build linux

package lab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/agent"
	"github.com/hanse-project/hanse/config"
)

// inProcess runs agents in the process of the test.
type inProcess struct {
	net    string
	fabric *fabric
}

func newInProcess(t testing.TB) *inProcess {
	noLeaks(t)
	return &inProcess{net: claimNetwork(t), fabric: newFabric(t)}
}

func (p *inProcess) address(n int) string { return fmt.Sprintf("%s.%d", p.net, n) }

func (p *inProcess) network() *links { return p.fabric.links }

func (p *inProcess) launch(n *Node, args []string) (_ running, err error) {
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	flags := config.Register(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	cfg, _, err := flags.Load()
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile(n.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	log := hclog.New(&hclog.LoggerOptions{Output: out, Level: hclog.LevelFromString(cfg.Log.Level)})
	network, closeNetwork, err := p.fabric.of(n, log)
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	a, err := agent.New(cfg, agent.Options{Log: log, Network: network})
	if err != nil {
		closeNetwork()
		return nil, errors.Join(err, out.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &goroutines{node: n, links: p.fabric.links, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(g.ended)
		defer out.Close()
		defer closeNetwork()
		g.err = a.Run(ctx)
	}()
	return g, nil
}

// goroutines is an agent in this process.
type goroutines struct {
	node   *Node
	links  *links
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // set before ended is closed
}

func (g *goroutines) stop() error {
	g.cancel()
	select {
	case <-g.ended:
		return g.err
	case <-time.After(stopWithin):
		return fmt.Errorf("%s is still running %v after it was told to stop. All goroutines:\n%s", g.node.Name, stopWithin, stacks())
	}
}

func (g *goroutines) end() error { return g.stop() }

// kill cuts the agent off, so that nobody hears it stop.
func (g *goroutines) kill() {
	var undo []func()
	for _, other := range g.node.DC.fed.Nodes() {
		for _, way := range [][2]string{{g.node.IP, other.IP}, {other.IP, g.node.IP}} {
			before, _ := g.links.on(way[0], way[1])
			g.links.edit(way[0], way[1], func(r *rule) { r.cut = true })
			undo = append(undo, func() { g.links.edit(way[0], way[1], func(r *rule) { *r = before }) })
		}
	}
	_ = g.stop() // what a killed agent says of its end is no matter
	for _, u := range undo {
		u()
	}
}

func (g *goroutines) done() <-chan struct{} { return g.ended }

func (g *goroutines) freeze(bool) error {
	return errors.New("an agent in the process of the test cannot be frozen: use lab.Processes")
}
