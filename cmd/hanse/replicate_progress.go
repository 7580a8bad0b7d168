package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/hanse-project/hanse/replicate"
)

// progress draws a bar for the first comparison of the links on the last line of a
// terminal, and lets log lines pass above it. On anything else it only passes them.
type progress struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	line     string // what stands on the last line
}

func newProgress(out io.Writer) *progress {
	f, ok := out.(*os.File)
	return &progress{out: out, terminal: ok && isatty.IsTerminal(f.Fd())}
}

// clearLine returns to the line's first column and empties it.
const clearLine = "\r\x1b[K"

// Write passes log lines.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line == "" {
		return p.out.Write(b)
	}
	_, err := fmt.Fprintf(p.out, "%s%s%s", clearLine, b, p.line)
	return len(b), err
}

func (p *progress) draw(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if line == p.line {
		return
	}
	p.line = line
	io.WriteString(p.out, clearLine+line)
}

// counter tells how many entries the comparison of the link of that number will see.
type counter func(ctx context.Context, link int) (int, error)

// Run draws until every link has been in step or held once, or stands by, or ctx ends.
func (p *progress) Run(ctx context.Context, status func() []replicate.Status, count counter) {
	if !p.terminal {
		return
	}
	defer p.draw("")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	seen := map[int]*pace{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		all := status()
		i := slices.IndexFunc(all, func(s replicate.Status) bool {
			return s.State != replicate.Held && s.State != replicate.Standby && s.LastSuccess.IsZero()
		})
		if i < 0 {
			return
		}
		if seen[i] == nil {
			// Without a total there is no bar, and the figures go on.
			total, _ := count(ctx, i)
			seen[i] = &pace{total: total}
		}
		seen[i].see(all[i], time.Now())
		p.draw(progressLine(all[i], *seen[i], i, len(all)))
	}
}

// pace is how fast a comparison goes.
type pace struct {
	total, done int // entries at the source; total is 0 when it is unknown

	began time.Time
	from  int // of what was done then
	rate  float64
	left  time.Duration // 0 when it is unknown
}

// see takes over how far the link has come. The link knows best of how much, where it knows.
func (p *pace) see(s replicate.Status, now time.Time) {
	if s.Total > 0 {
		p.total = s.Total
	}
	if p.began.IsZero() || s.Compared < p.done {
		p.began, p.from = now, s.Compared
	}
	p.done = s.Compared
	p.rate, p.left = 0, 0
	if took := now.Sub(p.began); took >= time.Second && p.done > p.from {
		p.rate = float64(p.done-p.from) / took.Seconds()
		p.left = time.Duration(float64(max(0, p.total-p.done)) / p.rate * float64(time.Second))
	}
}

// progressLine fits 80 columns unless the link's name is long.
func progressLine(s replicate.Status, p pace, i, n int) string {
	var b strings.Builder
	if n > 1 {
		fmt.Fprintf(&b, "%d/%d ", i+1, n)
	}
	b.WriteString(s.Link)
	if s.State == replicate.Retrying {
		return b.String() + "  retrying"
	}
	if p.total > 0 {
		b.WriteString(" " + barText(p.done, p.total))
	}
	fmt.Fprintf(&b, " %d compared, %d set, %s", p.done, s.Applied, bytesText(s.Bytes))
	if p.rate > 0 {
		fmt.Fprintf(&b, ", %.0f/s", p.rate)
	}
	if p.left > 0 {
		fmt.Fprintf(&b, ", %v left", p.left.Round(time.Second))
	}
	return b.String()
}

// barText is a bar and a percentage. total is not 0.
func barText(done, total int) string {
	const width = 20
	part := min(1, float64(done)/float64(total))
	filled := int(part * width)
	return fmt.Sprintf("[%s%s] %3.0f%%", strings.Repeat("=", filled), strings.Repeat(" ", width-filled), part*100)
}

// bytesText is a size as people read it.
func bytesText(n uint64) string {
	size, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if size < 1024 {
			break
		}
		size, unit = size/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", size, unit)
}
