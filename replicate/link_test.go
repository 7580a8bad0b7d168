package replicate

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseLink(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Link
		err  string
	}{
		{in: "config/@shanghai", want: Link{SourceDC: "shanghai", Source: "config/", Destination: "config/"}},
		{in: "config/@shanghai:copy/", want: Link{SourceDC: "shanghai", Source: "config/", Destination: "copy/"}},
		{in: "@shanghai", want: Link{SourceDC: "shanghai"}},
		{in: "@shanghai:all/", want: Link{SourceDC: "shanghai", Destination: "all/"}},
		{in: "mail/a@b.c/@dc-1", want: Link{SourceDC: "dc-1", Source: "mail/a@b.c/", Destination: "mail/a@b.c/"}},
		{in: "a:b/@dc1:c:d@e/", want: Link{SourceDC: "dc1", Source: "a:b/", Destination: "c:d@e/"}},
		{in: "config/", err: "names no datacenter"},
		{in: "", err: "names no datacenter"},
		{in: "config/@", err: "no valid datacenter name"},
		{in: "config/@two words", err: "no valid datacenter name"},
		{in: "config/@dc1:", err: "destination after the colon is empty"},
		{in: "/config@dc1", err: "begin with a slash"},
		{in: "config@dc1:/copy", err: "begin with a slash"},
		{in: "\xff@dc1", err: "UTF-8"},
	} {
		got, err := ParseLink(c.in)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want one with %q", c.in, err, c.err)
			}
			continue
		}
		if err != nil || got.String() != c.want.String() || got.Source != c.want.Source || got.Destination != c.want.Destination {
			t.Errorf("%q: %+v, %v, want %+v", c.in, got, err, c.want)
		}
	}
}

func FuzzParseLink(f *testing.F) {
	for _, s := range []string{"config/@shanghai", "a@b:c@d", "@x:y", "a@@b", ":@:", "é@dc:\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLink(s)
		if err != nil {
			return
		}
		if l.SourceDC == "" || !utf8.ValidString(l.Source+l.Destination) {
			t.Fatalf("%q gives %+v", s, l)
		}
		again, err := ParseLink(l.String())
		if err != nil || again.Source != l.Source || again.SourceDC != l.SourceDC || again.Destination != l.Destination {
			t.Fatalf("%q gives %+v, whose own text gives %+v, %v", s, l, again, err)
		}
	})
}

func TestScopeCoversTheSameKeysAtBothEnds(t *testing.T) {
	s := scope{statusPath: "service/consul-replicate/statuses", link: Link{
		SourceDC: "shanghai", Source: "", Destination: "copy/", Excludes: []string{"secret/", "config/local"},
	}}
	for key, want := range map[string]bool{
		"config/app":                            true,
		"config/local":                          false,
		"config/locality":                       false, // excludes are prefixes of keys, not folders
		"secret/x":                              false,
		"secret":                                true,
		"service/consul-replicate/statuses":     false,
		"service/consul-replicate/statuses/abc": false,
		"service/consul-replicate/statuses2/kept": true,
		"a\uFFFDb": false,
	} {
		rel, got := s.fromSource(key)
		if got != want {
			t.Errorf("source key %q: covered is %v", key, got)
		}
		if _, there := s.fromDestination(s.destination(rel)); there != got {
			t.Errorf("key %q is covered at one end alone", key)
		}
	}
	if _, ok := s.fromDestination("other/x"); ok {
		t.Error("a key outside the destination prefix is covered")
	}
}

func TestCheckpointsAreNeverWrittenByALinkToTheRoot(t *testing.T) {
	s := scope{statusPath: "status", link: Link{SourceDC: "a", Source: "x/", Destination: ""}}
	if _, ok := s.fromSource("x/status/abc"); ok {
		t.Error("a source key would land on the status path")
	}
}

func TestLinksThatDoHarmAreRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		links []string
		want  []string // parts of the message; none means accepted
	}{
		{"apart", []string{"config/@shanghai", "jobs/@shanghai", "config/@wuhan:wuhan/"}, nil},
		{"none", nil, []string{"nothing to replicate"}},
		{"the same twice", []string{"config/@shanghai", "config/@shanghai"}, []string{"both write below"}},
		{"two sources, one destination", []string{"a/@shanghai:x/", "b/@wuhan:x/"}, []string{"both write below"}},
		{"one inside the other", []string{"config/@shanghai", "config/app/@wuhan"}, []string{"both write below"}},
		{"no slash", []string{"config@shanghai", "config2@shanghai"}, []string{`"config" also covers "config2"`, `"config/" would not`}},
		{"everything and more", []string{"@shanghai", "x/@wuhan"}, []string{"both write below"}},
		{"inside the status path", []string{"service/consul-replicate/statuses/a@shanghai"}, []string{"status path"}},
		{"onto the status path", []string{"a/@shanghai:service/consul-replicate/statuses/"}, []string{"status path"}},
		{"around the status path", []string{"service/@shanghai"}, nil},
		{"onto itself", []string{"config/@beijing"}, []string{"loop inside beijing"}},
		{"onto itself, by another case", []string{"config/@Beijing"}, []string{"loop"}},
		{"into itself", []string{"config/@beijing:config/copy/"}, []string{"loop"}},
		{"beside itself", []string{"config/@beijing:copy/"}, nil},
		{"a chain", []string{"a/@shanghai:b/", "b/@beijing:c/"}, nil},
		{"a ring", []string{"a/@beijing:b/", "b/@beijing:c/", "c/@beijing:a/"}, []string{"loop", "a/@beijing:b/, then b/@beijing:c/, then c/@beijing:a/"}},
		{"all mistakes at once", []string{"x/@shanghai", "x/@wuhan", "config/@beijing"}, []string{"both write below", "loop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var links []Link
			for _, s := range c.links {
				l, err := ParseLink(s)
				if err != nil {
					t.Fatal(err)
				}
				links = append(links, l)
			}
			err := CheckLinks(links, "beijing", DefaultStatusPath)
			if len(c.want) == 0 && err != nil {
				t.Errorf("refused: %v", err)
			}
			if len(c.want) > 0 && err == nil {
				t.Fatal("accepted")
			}
			if i := slices.IndexFunc(c.want, func(w string) bool { return !strings.Contains(err.Error(), w) }); i >= 0 {
				t.Errorf("%v\ndoes not say %q", err, c.want[i])
			}
		})
	}
}

func FuzzDecodeCheckpoint(f *testing.F) {
	l := Link{SourceDC: "shanghai", Source: "config/", Destination: "config/"}
	whole, err := Checkpoint{LastReplicated: 7, Source: l.Source, Destination: l.Destination, SourceDatacenter: l.SourceDC, Held: "x"}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"LastReplicated":-1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCheckpoint(b, l)
		if err != nil {
			return
		}
		again, err := c.encode()
		if err != nil {
			t.Skip("a time that JSON cannot carry")
		}
		if _, err := DecodeCheckpoint(again, l); err != nil {
			t.Fatalf("%q is read, but not once written again: %v", b, err)
		}
	})
}

func TestACheckpointOfAnotherLinkIsRefused(t *testing.T) {
	a := Link{SourceDC: "shanghai", Source: "a/", Destination: "a/"}
	value, err := Checkpoint{Source: "b/", Destination: "a/", SourceDatacenter: "shanghai"}.encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeCheckpoint(value, a); err == nil || !strings.Contains(err.Error(), "belongs to b/@shanghai:a/") {
		t.Errorf("error %v", err)
	}
}
