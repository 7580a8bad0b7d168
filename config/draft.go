package config

import (
	"fmt"
	"strings"
)

// draft is a Config in the making: beside it, what was written where a value
// still has to be worked out of the text.
type draft struct {
	Config
	dev bool

	bind, client, advertise, advertiseWAN, serfLAN, serfWAN string
	addresses                                               struct{ http, https, dns, grpc, grpcTLS string }
	encrypt                                                 string
	tls                                                     tlsText

	// origin tells of each key that was given which file or flag gave it last.
	origin   map[string]string
	warnings []string
	host     host
}

// tlsText is the tls stanza and the older keys as written. A pointer is nil
// where the interface says nothing and its defaults hold.
type tlsText struct {
	legacy, defaults, internalRPC, https, grpc tlsKeys
	verifyIncomingRPC, verifyIncomingHTTPS     *bool
}

type tlsKeys struct {
	caFile, caPath, certFile, keyFile, minVersion        *string
	cipherSuites                                         []string
	verifyIncoming, verifyOutgoing, verifyServerHostname *bool
}

func newDraft(dev bool) *draft {
	d := &draft{Config: defaults(), dev: dev, origin: map[string]string{}, host: thisHost()}
	d.bind, d.client = "0.0.0.0", "127.0.0.1"
	if dev {
		d.Config = devDefaults()
		d.bind = "127.0.0.1"
	}
	return d
}

func (d *draft) given(key string) bool { return d.origin[key] != "" }

// warn records a warning once, however often the settings repeat themselves.
func (d *draft) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, w := range d.warnings {
		if w == text {
			return
		}
	}
	d.warnings = append(d.warnings, text)
}

// Mistake is one wrong setting.
type Mistake struct {
	Key    string // as in a file, such as "ports.http"
	Says   string // what is wrong and what to do
	Origin string // the file or flag it came from; "" when it is a default or unknown
}

func (m *Mistake) Error() string {
	var b strings.Builder
	if m.Origin != "" {
		b.WriteString(m.Origin + ": ")
	}
	b.WriteString(m.Key + ": " + m.Says)
	return b.String()
}

// mistakes collects what is wrong, so that one run tells all of it.
type mistakes []error

func (m *mistakes) add(key, format string, args ...any) {
	*m = append(*m, &Mistake{Key: key, Says: fmt.Sprintf(format, args...)})
}
