package checks

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// agentName is how checks introduce themselves. Access logs are filtered by it.
const agentName = "Consul Health Check"

// transport opens a connection for each request and closes it after: one kept open would
// cost more, idle, than one that is opened once per interval.
func (p *probes) transport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: p.reach.Dial,
		DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
	}
}

// plainTransport serves all checks that begin without TLS and say nothing about it. TLS
// is there for redirects.
func (p *probes) plainTransport() *http.Transport {
	t := p.transport()
	t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return p.connect(ctx, &Definition{}, network, address, true)
	}
	return t
}

// secureTransport serves one turn of a check with TLS.
func (p *probes) secureTransport(d *Definition) *http.Transport {
	t := p.transport()
	t.TLSClientConfig = p.tlsFor(d, "") // each host of a redirect has its own name
	t.ForceAttemptHTTP2 = true
	return t
}

// http asks for a URL. 2xx is passing, 429 a warning, and all else critical.
func (p *probes) http(d *Definition) probe {
	shown := d.HTTP
	if u, err := url.Parse(d.HTTP); err == nil {
		shown = u.Redacted()
	}
	method := cmp.Or(d.Method, http.MethodGet)
	return func(ctx context.Context) (string, string) {
		req, err := http.NewRequestWithContext(ctx, method, d.HTTP, strings.NewReader(d.Body))
		if err != nil {
			return Critical, err.Error()
		}
		req.Header.Set("User-Agent", agentName)
		req.Header.Set("Accept", "text/plain, text/*, */*")
		for name, values := range d.Header {
			req.Header[http.CanonicalHeaderKey(name)] = values
		}
		if host := req.Header.Get("Host"); host != "" {
			req.Host = host
		}
		client := &http.Client{Transport: p.plain}
		if d.DisableRedirects {
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		}
		if req.URL.Scheme == "https" || d.TLSSkipVerify || d.TLSServerName != "" {
			client.Transport = p.secureTransport(d)
		}
		res, err := client.Do(req)
		if err != nil {
			return Critical, err.Error()
		}
		defer res.Body.Close()
		// The status is known: a body that breaks off is shown as far as it came.
		body, _ := io.ReadAll(io.LimitReader(res.Body, int64(d.OutputMaxSize)))
		output := fmt.Sprintf("HTTP %s %s: %s Output: %s", method, shown, res.Status, body)
		switch {
		case res.StatusCode >= 200 && res.StatusCode <= 299:
			return Passing, output
		case res.StatusCode == http.StatusTooManyRequests:
			return Warning, output
		}
		return Critical, output
	}
}
