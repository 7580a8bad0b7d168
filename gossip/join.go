package gossip

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// listingWaits are the pauses before asking again whether we are listed. A member
// that remembers us as dead lists us two exchanges later.
var listingWaits = []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second}

// Join joins the members at addrs, each an IP address or a host name, with or
// without a port, and optionally with the member's name before it: name/host:port.
// It returns how many members list us now, and an error if none does. Addresses that
// failed beside others that did not are logged.
func (p *Pool) Join(addrs []string) (int, error) {
	joined := 0
	var errs []error
	for _, addr := range addrs {
		n, err := p.joinOne(addr)
		joined += n
		if err != nil {
			errs = append(errs, err)
		}
	}
	if joined == 0 {
		return 0, errors.Join(errs...)
	}
	for _, err := range errs {
		p.cfg.Log.Warn("could not join one of the given addresses", "pool", p.cfg.Pool, "error", err)
	}
	return joined, nil
}

// joinOne exchanges members with addr until it lists us. The count of lists with us
// in it also rises when another member joins us meanwhile; that can hide a refusal,
// never invent one.
func (p *Pool) joinOne(addr string) (int, error) {
	before := p.guard.listed.Load()
	for attempt, wait := range listingWaits {
		time.Sleep(wait)
		// User events from before the first exchange are old news; those since then are
		// for us too.
		n, err := p.serf.Join([]string{addr}, attempt == 0)
		if err != nil {
			return 0, fmt.Errorf("join %s pool at %s: %w", p.cfg.Pool, addr, p.explainJoin(err))
		}
		if p.guard.listed.Load() > before {
			return n, nil
		}
	}
	return 0, fmt.Errorf("join %s pool at %s: it answered and does not list this agent as '%s': "+
		"its log says why (search for 'Failed push/pull merge' and 'Conflicting address'); "+
		"a name whose agent failed at another address is free after %v", p.cfg.Pool, addr, p.cfg.Name, nameReclaimTime)
}

// explainJoin adds to memberlist's errors what to do about them.
func (p *Pool) explainJoin(err error) error {
	text := flatten(err)
	fix := ""
	switch {
	case strings.Contains(text, "o installed keys could decrypt"):
		fix = "the gossip keys differ: give both the same encrypt key (a keyring in data_dir goes before the configured key)"
	case strings.Contains(text, "encryption is configured but remote state is not encrypted"):
		fix = "this agent has an encrypt key and the other has none: give both the same encrypt key"
	case strings.Contains(text, "remote state is encrypted and encryption is not configured"):
		fix = "one of the two has an encrypt key and the other has none: give both the same encrypt key"
	case strings.Contains(text, "connection refused"):
		fix = "nothing listens there: check the address, and that the port is the other's " + p.cfg.PortKey
	case strings.Contains(text, "EOF"), strings.Contains(text, "connection reset"):
		fix = "the other side hung up: check that the port is its " + p.cfg.PortKey
	case strings.Contains(text, "i/o timeout"):
		fix = "no answer in time: check the network and that the port is the other's " + p.cfg.PortKey
	}
	if fix == "" {
		return errors.New(text)
	}
	return fmt.Errorf("%s; %s", text, fix)
}

// flatten puts the errors of several addresses on one line.
func flatten(err error) string {
	several, ok := err.(interface{ WrappedErrors() []error })
	if !ok {
		return err.Error()
	}
	var lines []string
	for _, e := range several.WrappedErrors() {
		lines = append(lines, e.Error())
	}
	return strings.Join(lines, "; ")
}
