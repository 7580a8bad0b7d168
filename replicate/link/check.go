package link

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/rpc"
)

// The limits of a link. Every server holds all of them.
const (
	maxName     = 128
	maxExcludes = 1000
	maxPrefix   = 2048 // bytes; status and messages show it in full
)

var (
	validName       = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	validDatacenter = regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)
	otherRunes      = regexp.MustCompile(`[^A-Za-z0-9_-]+`)
)

// DefaultName is the name of a link that was given none.
func DefaultName(datacenter, prefix string) string {
	part := strings.Trim(otherRunes.ReplaceAllString(prefix, "-"), "-")
	if prefix == "" {
		part = "all"
	}
	name := strings.TrimRight(datacenter+"-"+part, "-")
	return name[:min(len(name), maxName)]
}

// Complete fills in what follows from the rest of a link in that datacenter, and names
// everything that is wrong with the link in itself.
func (l *Link) Complete(datacenter string) error {
	l.SourceDatacenter = strings.ToLower(l.SourceDatacenter)
	l.DestinationPrefix = cmp.Or(l.DestinationPrefix, l.Prefix)
	l.Conflict = cmp.Or(l.Conflict, replicate.SourceWins)
	if l.Name == "" && validDatacenter.MatchString(l.SourceDatacenter) {
		l.Name = DefaultName(l.SourceDatacenter, l.Prefix)
	}
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case l.Name != "" && !validName.MatchString(l.Name):
		wrong("name %q: use letters, digits, - and _", l.Name)
	case len(l.Name) > maxName:
		wrong("name is %d bytes long: use at most %d", len(l.Name), maxName)
	}
	switch {
	case l.SourceDatacenter == "":
		wrong("source_datacenter is missing: name the datacenter that the keys come from")
	case !validDatacenter.MatchString(l.SourceDatacenter):
		wrong("source_datacenter %q is not a name of a datacenter: use up to 63 letters, digits, - and _", l.SourceDatacenter)
	default:
		if _, err := replicate.NewLink(l.Prefix, l.SourceDatacenter, l.DestinationPrefix); err != nil {
			errs = append(errs, err)
		} else if err := replicate.CheckLinks([]replicate.Link{l.engine()}, datacenter, replicate.DefaultStatusPath); err != nil {
			errs = append(errs, err)
		}
	}
	for _, p := range append([]string{l.Prefix, l.DestinationPrefix}, l.Exclude...) {
		if len(p) > maxPrefix {
			return fmt.Errorf("the prefix that begins with %q is %d bytes long: use at most %d", p[:32], len(p), maxPrefix)
		}
	}
	if len(l.Exclude) > maxExcludes {
		wrong("exclude has %d prefixes: use at most %d", len(l.Exclude), maxExcludes)
	}
	for _, x := range l.Exclude {
		switch {
		case x == "":
			wrong("exclude holds an empty prefix, which would leave everything out: remove it")
		case !strings.HasPrefix(x, l.Prefix) && !strings.HasPrefix(l.Prefix, x):
			wrong("exclude %q lies outside the prefix %q: an exclude is a whole prefix of source keys, such as %q", x, l.Prefix, l.Prefix+x)
		case strings.HasPrefix(l.Prefix, x):
			wrong("exclude %q leaves out all of the prefix %q: name a part of it", x, l.Prefix)
		}
	}
	if f := l.MaxDeleteFraction; !(f >= 0 && f <= 1) {
		wrong("max_delete_fraction is %v: use a number from 0 to 1", f)
	}
	if l.RateLimit < 0 {
		wrong("rate_limit is %d: use keys per second, or 0 for no limit", l.RateLimit)
	}
	switch d := time.Duration(l.VerifyInterval); {
	case d < 0:
		wrong("verify_interval is %v: use a positive duration such as \"10m\", or 0 for never", d)
	case d > 0 && d < time.Second:
		wrong("verify_interval is %v: use at least 1s, or 0 for never", d)
	}
	if l.Conflict != replicate.SourceWins && l.Conflict != replicate.ReportOnly {
		wrong("conflict %q: use %q or %q", l.Conflict, replicate.SourceWins, replicate.ReportOnly)
	}
	return errors.Join(errs...)
}

// engine is the link as the engine knows it.
func (l *Link) engine() replicate.Link {
	return replicate.Link{SourceDC: l.SourceDatacenter, Source: l.Prefix, Destination: l.DestinationPrefix, Excludes: l.Exclude}
}

// elsewhere reports whether two settings of one name lead from or to different places.
func (l *Link) elsewhere(other *Link) bool {
	return l.SourceDatacenter != other.SourceDatacenter || l.Prefix != other.Prefix || l.DestinationPrefix != other.DestinationPrefix
}

// same reports whether the settings are equal.
func (l *Link) same(other *Link) bool {
	return reflect.DeepEqual(l.settings(), other.settings())
}

// settings is the link without what the log added to it, and with one way to write that
// nothing is excluded.
func (l *Link) settings() Link {
	s := *l
	s.CreateIndex, s.ModifyIndex = 0, 0
	if len(s.Exclude) == 0 {
		s.Exclude = nil
	}
	return s
}

// Beside refuses a link that cannot stand beside those others of its datacenter.
func (l *Link) Beside(others []Link, datacenter string) error {
	beside := make([]replicate.Link, 0, len(others)+1)
	for _, o := range others {
		if o.Name == l.Name {
			return rpc.Conflict(fmt.Sprintf("there are two links called %q: give each a name of its own", l.Name))
		}
		beside = append(beside, o.engine())
	}
	if err := replicate.CheckLinks(append(beside, l.engine()), datacenter, replicate.DefaultStatusPath); err != nil {
		return rpc.Conflict(fmt.Sprintf("link %q does not fit beside the others: %v", l.Name, err))
	}
	return nil
}

// fits is [Link.Beside] for a link that may be there already.
func (l *Link) fits(rows []*Row, datacenter string) error {
	var others []Link
	for _, r := range rows {
		if r.Name != l.Name {
			others = append(others, r.Link)
		}
	}
	return l.Beside(others, datacenter)
}
