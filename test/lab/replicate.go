//go:build linux

package lab

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/hanse-project/hanse/replicate/link"
)

// Settings are those of a link, by their names in configuration files.
type Settings map[string]any

// TrySetLink asks the datacenter once to make a link, or to change one.
func (d *DC) TrySetLink(t testing.TB, name string, s Settings) (*Answer, error) {
	t.Helper()
	body, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d.do(http.MethodPut, linkPath(name), string(body))
}

// SetLink has the datacenter make a link, or change one. It goes on trying until that is
// acknowledged.
func (d *DC) SetLink(t testing.TB, name string, s Settings) {
	t.Helper()
	Until(t, "set the link "+name+" in "+d.Name, func() error {
		return done(d.TrySetLink(t, name, s))
	})
}

// Replicate has the datacenter copy a prefix of another one, by a link of that one's name.
func (d *DC) Replicate(t testing.TB, prefix string, from *DC) {
	t.Helper()
	d.SetLink(t, from.Name, Settings{"source_datacenter": from.Name, "prefix": prefix})
}

// OrderLink asks something of a link: to pause, to approve, and so on. It goes on trying
// until that is acknowledged.
func (d *DC) OrderLink(t testing.TB, name, order string) {
	t.Helper()
	Until(t, order+" the link "+name+" in "+d.Name, func() error {
		return done(d.do(http.MethodPut, linkPath(name)+"/"+order, ""))
	})
}

// RemoveLink has the datacenter forget a link.
func (d *DC) RemoveLink(t testing.TB, name string) {
	t.Helper()
	Until(t, "remove the link "+name+" of "+d.Name, func() error {
		_, err := d.do(http.MethodDelete, linkPath(name), "")
		return err
	})
}

// Link tells what a link is doing.
func (d *DC) Link(name string) (link.Status, error) {
	var report link.Report
	a, err := d.do(http.MethodGet, linkPath(name), "")
	if err = done(a, err); err != nil {
		return report.Status, err
	}
	if err := json.Unmarshal(a.Body, &report); err != nil {
		return report.Status, fmt.Errorf("%w in %.200q", err, a.Body)
	}
	return report.Status, nil
}

// WaitLink returns once what a link is doing is as wanted.
func (d *DC) WaitLink(t testing.TB, name, what string, holds func(link.Status) error) {
	t.Helper()
	Until(t, fmt.Sprintf("the link %s in %s is %s", name, d.Name, what), func() error {
		status, err := d.Link(name)
		if err != nil {
			return err
		}
		return holds(status)
	})
}

// WaitLinkState returns once a link is in the state.
func (d *DC) WaitLinkState(t testing.TB, name, state string) {
	t.Helper()
	d.WaitLink(t, name, state, func(s link.Status) error {
		if s.State != state {
			return fmt.Errorf("it is %s, last error %q", s.State, s.LastError)
		}
		return nil
	})
}

// done is nil if what was asked for was done.
func done(a *Answer, err error) error {
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", a.Status, a.Body)
	}
	return err
}

func linkPath(name string) string { return "/v1/replicate/links/" + name }
