package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// bench is one run of this program.
type bench struct {
	ctx    context.Context
	dir    string        // everything on disk; removed at the end
	bin    string        // the agent
	span   time.Duration // of one row under load
	repeat int           // of a row that happens once, such as an election
	short  bool
	out    *report
}

// section is a group of rows that share what open starts.
type section struct {
	name string
	rows []row
	open func(b *bench, s *setup) error
}

// row is one line of the report, or several that are measured together.
type row struct {
	name string
	run  func(b *bench, s *setup) error
}

// million adds the rows of a million keys.
var million = flag.Bool("million", false, "measure a link of a million keys, too: that takes minutes, and 12 GB of memory")

func main() {
	run := flag.String("run", "", "measure only rows whose \"section/name\" matches this `regexp`")
	short := flag.Bool("short", false, "measure each row for a short time")
	span := flag.Duration("for", 0, "measure each row under load for this `time` instead of 5s")
	bin := flag.String("bin", "", "measure this `binary` instead of building ./cmd/hanse")
	list := flag.Bool("list", false, "print the names of the rows")
	echo := flag.String("echo", "", "serve the bare HTTP reference on this `address` (used by the program itself)")
	flag.Parse()
	if *echo != "" {
		exitOn(serveEcho(*echo))
		return
	}
	selected, err := regexp.Compile(*run)
	exitOn(err)
	if *list {
		for _, s := range sections() {
			for _, r := range s.rows {
				fmt.Println(s.name + "/" + r.name)
			}
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{ctx: ctx, bin: *bin, span: 5 * time.Second, repeat: 5, short: *short, out: &report{w: os.Stdout}}
	if *short {
		b.span, b.repeat = time.Second, 2
	}
	if *span > 0 {
		b.span = *span
	}
	exitOn(b.measure(selected))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// sections are all rows, in the order in which they are printed.
func sections() []section {
	all := []section{
		referenceSection(),
		loadSection("one server", 1),
		loadSection("three servers", 3),
		dnsSection(),
		serviceSection(),
		wanSection(),
		mirrorSection("a link, 80 ms", byLink),
		mirrorSection("the daemon, 80 ms", byDaemon),
		lifeSection(),
		sizeSection(),
	}
	if *million {
		all = append(all, millionSection())
	}
	return all
}

func (b *bench) measure(selected *regexp.Regexp) (err error) {
	if err := b.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.out.header()
	var errs []error
	for _, s := range sections() {
		if err := b.section(s, selected); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	if !*million {
		fmt.Fprintln(b.out.w, "\nnot measured: a link of a million keys (-million)")
	}
	return errors.Join(errs...)
}

// section measures the selected rows. One that fails does not keep the others back.
func (b *bench) section(s section, selected *regexp.Regexp) error {
	var rows []row
	for _, r := range s.rows {
		if selected.MatchString(s.name + "/" + r.name) {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 || b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	b.out.title(s.name)
	env := &setup{}
	defer env.close()
	if s.open != nil {
		if err := s.open(b, env); err != nil {
			return err
		}
	}
	var errs []error
	for _, r := range rows {
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		if err := r.run(b, env); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.name, err))
		}
	}
	return errors.Join(errs...)
}

// prepare makes the directory and builds the agent. The directory lies in bin/, which
// is on the disk of the checkout: /tmp may be memory.
func (b *bench) prepare() error {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("find the checkout: run this program within it: %w", err)
	}
	checkout := strings.TrimSpace(string(root))
	if err := os.MkdirAll(filepath.Join(checkout, "bin"), 0o755); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(filepath.Join(checkout, "bin"), "bench-"); err != nil {
		return err
	}
	if b.bin != "" {
		b.bin, err = filepath.Abs(b.bin)
		return err
	}
	b.bin = filepath.Join(b.dir, "hanse")
	build := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", b.bin, "./cmd/hanse")
	build.Dir = checkout
	if out, err := build.CombinedOutput(); err != nil {
		os.RemoveAll(b.dir)
		return fmt.Errorf("build the agent: %w\n%s", err, out)
	}
	return nil
}
