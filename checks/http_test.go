package checks

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func TestHTTPStatusDecides(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		code := 0
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &code)
		if code == http.StatusFound {
			w.Header().Set("Location", "/200")
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "hello")
	})
	for _, c := range []struct {
		path, want, line string
	}{
		{"/200", Passing, "200 OK"}, {"/206", Passing, "206 Partial Content"}, {"/299", Passing, "299 "},
		{"/429", Warning, "429 Too Many Requests"}, {"/400", Critical, "400 Bad Request"},
		{"/404", Critical, "404 Not Found"}, {"/500", Critical, "500 Internal Server Error"},
		{"/302", Passing, "200 OK"},
	} {
		result, output := try(t, Reach{}, Definition{HTTP: s.URL + c.path})
		expect(t, result, output, c.want, "HTTP GET "+s.URL+c.path+": "+c.line)
		if !strings.HasSuffix(output, " Output: hello") {
			t.Errorf("%s: output %q has not what the server said", c.path, output)
		}
	}
	result, output := try(t, Reach{}, Definition{HTTP: s.URL + "/302", DisableRedirects: true})
	expect(t, result, output, Critical, "HTTP GET "+s.URL+"/302: 302 Found")
}

func TestHTTPRequestIsTheOneThatWasDefined(t *testing.T) {
	got := make(chan *http.Request, 1)
	bodies := make(chan string, 1)
	s := server(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r
		bodies <- string(body)
	})
	result, output := try(t, Reach{}, Definition{
		HTTP: strings.Replace(s.URL, "http://", "http://user:secret@", 1) + "/x?y=1", Method: "POST", Body: `{"a":1}`,
		Header: map[string][]string{"x-two": {"a", "b"}, "Host": {"web.example"}},
	})
	expect(t, result, output, Passing, "HTTP POST http://user:xxxxx@")
	if strings.Contains(output, "secret") {
		t.Errorf("the password is shown: %q", output)
	}
	r := <-got
	if r.Method != "POST" || r.RequestURI != "/x?y=1" || r.Host != "web.example" || strings.Join(r.Header["X-Two"], ",") != "a,b" {
		t.Errorf("request %s %s host %s header %v", r.Method, r.RequestURI, r.Host, r.Header)
	}
	if _, password, _ := r.BasicAuth(); password != "secret" {
		t.Error("the password of the URL was not sent")
	}
	if r.UserAgent() != "Consul Health Check" {
		t.Errorf("user agent %q", r.UserAgent())
	}
	if body := <-bodies; body != `{"a":1}` {
		t.Errorf("body %q", body)
	}

	if _, output := try(t, Reach{}, Definition{HTTP: s.URL, Header: map[string][]string{"User-Agent": {"mine"}}}); output == "" {
		t.Error("no output")
	}
	if r := <-got; r.UserAgent() != "mine" || r.Method != "GET" {
		t.Errorf("user agent %q, method %s", r.UserAgent(), r.Method)
	}
}

func TestHTTPOutputIsBounded(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, strings.Repeat("\xff\x00x", 1000)); err != nil {
				return // the check has seen enough
			}
		}
	})
	result, output := try(t, Reach{}, Definition{HTTP: s.URL, OutputMaxSize: 300})
	expect(t, result, output, Passing, "HTTP GET "+s.URL+": 200 OK Output: ")
	_, body, _ := strings.Cut(output, "Output: ")
	if len(body) != 300 {
		t.Errorf("%d bytes were kept, want 300", len(body))
	}
}

func TestHTTPThatDoesNotAnswer(t *testing.T) {
	address := refused(t, "tcp")
	result, output := try(t, Reach{}, Definition{HTTP: "http://" + address + "/health"})
	expect(t, result, output, Critical, fmt.Sprintf(`Get "http://%s/health": dial tcp %s: connect: connection refused`, address, address))

	result, output = try(t, Reach{}, Definition{HTTP: "http://" + silent(t), Timeout: 50 * time.Millisecond})
	expect(t, result, output, Critical, `Get "http://`)
	if !strings.Contains(output, "deadline exceeded") {
		t.Errorf("output %q does not say that time ran out", output)
	}

	// What came before a body that never ends still counts.
	release := make(chan struct{})
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	until(t, 200*time.Millisecond, func(timeout time.Duration) error {
		result, output := try(t, Reach{}, Definition{HTTP: s.URL, Timeout: timeout})
		if result != Passing || !strings.HasPrefix(output, "HTTP GET "+s.URL+": 200 OK Output: begun") {
			return fmt.Errorf("in %v the check is %s: %q", timeout, result, output)
		}
		return nil
	})
}

func TestHTTPS(t *testing.T) {
	s := tlsServer(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.TLS.ServerName+" "+r.Proto) })
	trust := trusting(s)
	redirect := server(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, s.URL, http.StatusFound) })
	for _, c := range []struct {
		name  string
		reach Reach
		def   Definition
		want  string
		said  string
	}{
		{"an unknown authority", Reach{}, Definition{HTTP: s.URL}, Critical, "certificate signed by unknown authority"},
		{"an authority that is trusted", trust, Definition{HTTP: s.URL}, Passing, "200 OK"},
		{"a name of the certificate", trust, Definition{HTTP: s.URL, TLSServerName: "example.com"}, Passing, "Output: example.com HTTP/2.0"},
		{"another name", trust, Definition{HTTP: s.URL, TLSServerName: "example.org"}, Critical, "example.org"},
		{"no verification", Reach{}, Definition{HTTP: s.URL, TLSSkipVerify: true}, Passing, "200 OK"},
		{"a redirect to it, trusted", trust, Definition{HTTP: redirect.URL}, Passing, "200 OK"},
		{"a redirect to it, unknown", Reach{}, Definition{HTTP: redirect.URL}, Critical, "unknown authority"},
		{"a redirect to it, unverified", Reach{}, Definition{HTTP: redirect.URL, TLSSkipVerify: true}, Passing, "200 OK"},
	} {
		t.Run(c.name, func(t *testing.T) {
			result, output := try(t, c.reach, c.def)
			if result != c.want || !strings.Contains(output, c.said) {
				t.Errorf("the check is %s: %q; want %s with %q", result, output, c.want, c.said)
			}
		})
	}
}
