package replicate

import (
	"context"
	"fmt"
	"strings"

	"github.com/hanse-project/hanse/kv/digest"
)

// stream reads one side of a link page by page in the order of the keys. While a page is
// used the next one is on its way.
type stream struct {
	ctx    context.Context
	cancel context.CancelFunc

	reader Reader
	prefix string
	to     string // the key before which it ends, "" for none

	// accept, if there is one, judges a page before it is used.
	accept func(*EntryPage) error

	page  []Entry // what is left of it
	last  string  // the key before that
	ahead chan streamAnswer
}

type streamAnswer struct {
	page *EntryPage
	err  error
}

// newStream reads a stretch of the relative keys below a prefix; count asks how many keys there
// are. It must be closed.
func newStream(ctx context.Context, reader Reader, prefix string, span digest.Stretch, count bool, accept func(*EntryPage) error) *stream {
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{ctx: ctx, cancel: cancel, reader: reader, prefix: prefix, accept: accept}
	if span.After != "" {
		s.last = prefix + span.After
	}
	if span.To != "" {
		s.to = prefix + span.To
	}
	s.ask(EntriesQuery{Prefix: prefix, After: s.last, To: s.to, Count: count})
	return s
}

func (s *stream) ask(q EntriesQuery) {
	ahead := make(chan streamAnswer, 1)
	s.ahead = ahead
	go func() {
		page, err := s.reader.Entries(s.ctx, q)
		ahead <- streamAnswer{page, err}
	}()
}

// head is the entry that comes next, nil at the end.
func (s *stream) head() (*Entry, error) {
	for len(s.page) == 0 {
		if s.ahead == nil {
			return nil, nil
		}
		answer := <-s.ahead
		s.ahead = nil
		if answer.err != nil {
			return nil, answer.err
		}
		if err := s.take(answer.page); err != nil {
			return nil, err
		}
	}
	return &s.page[0], nil
}

func (s *stream) take(page *EntryPage) error {
	if s.accept != nil {
		if err := s.accept(page); err != nil {
			return err
		}
	}
	last := s.last
	for _, e := range page.Entries {
		if !strings.HasPrefix(e.Key, s.prefix) || last != "" && e.Key <= last {
			return fmt.Errorf("a page of keys below %q has %q behind %q", s.prefix, e.Key, last)
		}
		last = e.Key
	}
	switch {
	case page.More && len(page.Entries) == 0:
		return fmt.Errorf("a page of keys below %q is empty and not the last", s.prefix)
	case page.More:
		s.ask(EntriesQuery{Prefix: s.prefix, After: last, To: s.to})
	}
	s.page = page.Entries
	return nil
}

// next goes beyond the head.
func (s *stream) next() {
	s.last = s.page[0].Key
	s.page = s.page[1:]
}

func (s *stream) close() {
	s.cancel()
	if s.ahead != nil {
		<-s.ahead
		s.ahead = nil
	}
}
