package replicatehttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/kv/digest"
	"github.com/hanse-project/hanse/replicate"
)

const someSum = "000102030405060708090a0b0c0d0eff"

func TestSumsAreRead(t *testing.T) {
	source := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.RequestURI(); got != "/v1/kv/c/?dc=shanghai&digests=&exclude=x%2F&exclude=y%26&level=17" {
			t.Errorf("asked for %s", got)
		}
		w.Header().Set("X-Hanse-Datacenter-Id", "id")
		fmt.Fprintf(w, `{"Index":9,"Levels":3,"Ranges":[[{"Start":"/2E=","Count":7,"Sum":%q}]]}`, someSum)
	}).Source("shanghai", 0)
	rep, err := source.Digests(t.Context(), digest.Query{Prefix: "c/", Exclude: []string{"x/", "y&"}, Level: 17})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Index != 9 || rep.Levels != 3 || len(rep.Ranges) != 1 || len(rep.Ranges[0]) != 1 {
		t.Fatalf("%+v", rep)
	}
	if r := rep.Ranges[0][0]; r.Start != "\xffa" || r.Count != 7 || fmt.Sprintf("%x", r.Sum) != someSum {
		t.Errorf("%+v", r)
	}
}

func TestSpansAreAskedAboutInParts(t *testing.T) {
	questions := 0
	sink := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		questions++
		q := r.URL.Query()
		if len(r.URL.RawQuery) > urlBytes+50 || len(q["from"]) != len(q["to"]) || q.Get("exclude") != "x" {
			t.Errorf("%d bytes, %d and %d keys", len(r.URL.RawQuery), len(q["from"]), len(q["to"]))
		}
		w.Header().Set("X-Hanse-Datacenter-Id", "id")
		var spans []string
		for i, from := range q["from"] {
			if q["to"][i] != from+"~" {
				t.Errorf("from %q to %q", from, q["to"][i])
			}
			spans = append(spans, fmt.Sprintf(`[{"Start":"","Count":%d,"Sum":%q}]`, len(from), someSum))
		}
		fmt.Fprintf(w, `{"Index":%d,"Levels":%d,"Ranges":[%s]}`, 100-questions, questions, strings.Join(spans, ","))
	}).Sink()
	var spans []digest.Span
	for i := range 900 {
		from := fmt.Sprintf("%04d%s", i, strings.Repeat("\xff", i%50))
		spans = append(spans, digest.Span{From: from, To: from + "~"})
	}
	rep, err := sink.Digests(t.Context(), digest.Query{Prefix: "c/", Exclude: []string{"x"}, Spans: spans})
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Ranges) != len(spans) || questions < 10 || rep.Index != uint64(100-questions) || rep.Levels != questions {
		t.Fatalf("%d questions, %d spans, index %d, levels %d", questions, len(rep.Ranges), rep.Index, rep.Levels)
	}
	for i, parts := range rep.Ranges {
		if parts[0].Count != len(spans[i].From) {
			t.Fatalf("span %d has the sum of another", i)
		}
	}
}

func TestOnlySumsAreTakenForSums(t *testing.T) {
	for _, c := range []struct {
		name, body string
		none       bool
		says       string
	}{
		{"a key of that name", `[{"Key":"c/"}]`, true, "not an object"},
		{"a web page", "<html>", true, "not an object"},
		{"an object of something else", `{"ID":"x"}`, false, "about 0 spans"},
		{"a sum that is none", `{"Index":1,"Ranges":[[{"Start":"","Count":1,"Sum":"00"}]]}`, false, `sum "00"`},
		{"an answer that breaks off", `{"Index":1,"Ranges":[[`, false, "unexpected end"},
	} {
		source := stranger(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Hanse-Datacenter-Id", "id")
			io.WriteString(w, c.body)
		}).Source("x", 0)
		_, err := source.Digests(t.Context(), digest.Query{Prefix: "c/"})
		if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, replicate.ErrNoPages) != c.none {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// FuzzDecodeSums: what is accepted is about as many spans as were asked about.
func FuzzDecodeSums(f *testing.F) {
	f.Add(`{"Index":9,"Levels":3,"Ranges":[[{"Start":"/2E=","Count":7,"Sum":"`+someSum+`"}],[]]}`, 2)
	f.Add(`{"Index":9,"Levels":-1,"Ranges":[]}`, 0)
	f.Add(`[]`, 1)
	f.Fuzz(func(t *testing.T, body string, spans int) {
		rep, err := decodeSums(strings.NewReader(body), spans)
		if err == nil && (len(rep.Ranges) != spans || rep.Index == 0 || rep.Levels < 0) {
			t.Fatalf("%q is accepted as %+v", body, rep)
		}
	})
}
