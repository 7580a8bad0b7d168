package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// report prints a table, line by line as the figures come.
type report struct {
	w io.Writer
}

// line is one figure beside its target and its rival.
type line struct {
	what   string
	got    string
	target string
	consul string
	note   string
}

func (r *report) header() {
	r.print(line{what: "what", got: "measured", target: "target", consul: "Consul 1.21", note: "beside"})
}

func (r *report) title(name string) { fmt.Fprintf(r.w, "\n%s\n", strings.ToUpper(name)) }

func (r *report) print(l line) {
	fmt.Fprintf(r.w, "%-46s %-22s %-20s %-20s %s\n", l.what, l.got, dash(l.target), dash(l.consul), l.note)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func perSecond(rate float64) string {
	if rate >= 10_000 {
		return fmt.Sprintf("%.1fk/s", rate/1000)
	}
	return fmt.Sprintf("%.0f/s", rate)
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

func micros(d time.Duration) string {
	return fmt.Sprintf("%.0f µs", float64(d)/float64(time.Microsecond))
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.0f MB", float64(bytes)/(1<<20)) }
