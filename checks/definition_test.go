package checks

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestMistakesAreNamed(t *testing.T) {
	minute := time.Minute
	for _, c := range []struct {
		name string
		def  Definition
		want string
	}{
		{"nothing", Definition{}, "TTL must be > 0 for TTL checks"},
		{"an interval alone", Definition{Interval: minute}, "TTL must be > 0 for TTL checks"},
		{"a negative TTL", Definition{TTL: -1}, "TTL must be > 0 for TTL checks"},
		{"a TTL and an interval", Definition{TTL: minute, Interval: minute}, "Interval and TTL cannot both be specified"},
		{"no interval", Definition{TCP: "a:1"}, "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"},
		{"a negative interval", Definition{Args: []string{"true"}, Interval: -1}, "Interval must be > 0 for Script"},
		{"a negative timeout", Definition{TCP: "a:1", Interval: minute, Timeout: -minute}, "Timeout is -1m0s: use a positive duration"},
		{"a negative threshold", Definition{TTL: 1, SuccessBeforePassing: -1}, "SuccessBeforePassing must be positive"},
		{"a negative threshold", Definition{TTL: 1, FailuresBeforeWarning: -1}, "FailuresBeforeWarning must be positive"},
		{"a negative threshold", Definition{TTL: 1, FailuresBeforeCritical: -1}, "FailuresBeforeCritical must be positive"},
		{"thresholds the wrong way round", Definition{TTL: 1, FailuresBeforeWarning: 2, FailuresBeforeCritical: 1}, "FailuresBeforeWarning can't be higher than FailuresBeforeCritical"},
		{"a negative size", Definition{TTL: 1, OutputMaxSize: -1}, "OutputMaxSize must be positive"},
		{"a container without a command", Definition{DockerContainerID: "c", Interval: minute}, "Args is empty"},
		{"an empty command", Definition{Args: []string{""}, Interval: minute}, "Args begins with an empty word"},
		{"a zero byte", Definition{Args: []string{"a", "b\x00"}, Interval: minute}, "Args contains a zero byte"},
		{"a URL without a scheme", Definition{HTTP: "localhost/health", Interval: minute}, `HTTP is "localhost/health": use a URL`},
		{"another scheme", Definition{HTTP: "ftp://u:secret@a/", Interval: minute}, `HTTP is "ftp://u:xxxxx@a/": use a URL`},
		{"no URL", Definition{HTTP: "http://u:secret@a:b", Interval: minute}, "HTTP is not a URL: invalid port"},
		{"a bad method", Definition{HTTP: "http://a", Method: "G ET", Interval: minute}, `Method is "G ET"`},
		{"a bad header", Definition{HTTP: "http://a", Header: map[string][]string{"a b": nil}, Interval: minute}, `Header has the name "a b"`},
		{"a header with a line break", Definition{HTTP: "http://a", Header: map[string][]string{"a": {"b\nc: d"}}, Interval: minute}, `Header "a" has a value with a line break`},
		{"no port", Definition{TCP: "localhost", Interval: minute}, `TCP is "localhost": use host:port`},
		{"an empty port", Definition{UDP: "localhost:", Interval: minute}, `UDP is "localhost:": use host:port`},
		{"no port before a service", Definition{GRPC: "localhost/web", Interval: minute}, `GRPC is "localhost": use host:port`},
		{"no port", Definition{H2Ping: "localhost", Interval: minute}, `H2PING is "localhost": use host:port`},
		{"a zero byte", Definition{OSService: "a\x00", Interval: minute}, "OSService contains a zero byte"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.def.Validate()
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("a password is shown: %v", err)
			}
		})
	}
}

func TestTypesAndTimeouts(t *testing.T) {
	for _, c := range []struct {
		def     Definition
		kind    string
		timeout time.Duration
	}{
		{Definition{TTL: 1}, "ttl", defaultTimeout},
		{Definition{AliasService: "web"}, "alias", defaultTimeout},
		{Definition{AliasNode: "n"}, "alias", defaultTimeout},
		{Definition{Args: []string{"a"}}, "script", 30 * time.Second},
		{Definition{Args: []string{"a"}, DockerContainerID: "c"}, "docker", 30 * time.Second},
		{Definition{HTTP: "http://a"}, "http", 10 * time.Second},
		{Definition{TCP: "a:1"}, "tcp", 10 * time.Second},
		{Definition{UDP: "a:1"}, "udp", 10 * time.Second},
		{Definition{GRPC: "a:1/b"}, "grpc", 10 * time.Second},
		{Definition{H2Ping: "a:1"}, "h2ping", 10 * time.Second},
		{Definition{OSService: "a"}, "os_service", 30 * time.Second},
		{Definition{TCP: "a:1", Timeout: 3}, "tcp", 3},
	} {
		if c.def.TTL == 0 && c.kind != "alias" {
			c.def.Interval = time.Second
		}
		if err := c.def.Validate(); err != nil {
			t.Errorf("%s: %v", c.kind, err)
		}
		if kind := c.def.Type(); kind != c.kind || c.def.timeout() != c.timeout {
			t.Errorf("%+v is %s and may take %s, want %s and %s", c.def, kind, c.def.timeout(), c.kind, c.timeout)
		}
	}
}

// Every field makes two definitions differ, or a reload would keep the old check.
func TestEveryFieldCounts(t *testing.T) {
	kind := reflect.TypeFor[Definition]()
	for i := range kind.NumField() {
		var a, b Definition
		switch f := reflect.ValueOf(&b).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
			f.Set(reflect.ValueOf([]string{"x"}))
		case reflect.Map:
			f.Set(reflect.ValueOf(map[string][]string{"x": {"y"}}))
		default:
			f.SetInt(1)
		}
		if c := b; a.equal(&b) || !b.equal(&c) {
			t.Errorf("%s does not count", kind.Field(i).Name)
		}
	}
}

// What is valid can be made: it never panics, and a request can be built from it.
func FuzzDefinition(f *testing.F) {
	f.Add("http", "http://127.0.0.1:1/health", "GET", "X-A", "b", int64(time.Second), 0)
	f.Add("tcp", "localhost:80", "", "", "", int64(time.Second), 3)
	f.Add("grpc", "[::1]:80/a/b", "", "", "", int64(-1), -1)
	f.Add("script", "/bin/true", "", "", "", int64(0), 1)
	f.Fuzz(func(t *testing.T, kind, target, method, header, value string, interval int64, n int) {
		d := Definition{Method: method, Interval: time.Duration(interval), SuccessBeforePassing: n, OutputMaxSize: n}
		if header != "" {
			d.Header = map[string][]string{header: {value}}
		}
		switch kind {
		case "http":
			d.HTTP = target
		case "tcp":
			d.TCP = target
		case "udp":
			d.UDP = target
		case "grpc":
			d.GRPC = target
		case "h2ping":
			d.H2Ping = target
		case "script":
			d.Args = []string{target, value}
		case "docker":
			d.DockerContainerID, d.Args = target, []string{value}
		case "os_service":
			d.OSService = target
		}
		if err := d.Validate(); err != nil {
			if err.Error() == "" {
				t.Error("a mistake without a text")
			}
			return
		}
		if d.interval() < MinInterval || d.Type() == "" {
			t.Fatalf("valid: %+v", d)
		}
		p := newProbes(Reach{Dial: noNetwork})
		made, err := p.of(&d)
		if err != nil || made == nil {
			t.Fatalf("%+v is valid and cannot be made: %v", d, err)
		}
		if d.Type() == "http" || d.Type() == "grpc" || d.Type() == "h2ping" {
			result, output := made(t.Context())
			if result != Critical || !strings.Contains(output, errNoNetwork.Error()) {
				t.Errorf("%+v fails before the network: %q", d, output)
			}
		}
	})
}
