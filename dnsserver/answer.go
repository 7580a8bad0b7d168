package dnsserver

import (
	"math/rand/v2"
	"sync"

	"github.com/miekg/dns"
)

// answer is what is known in reply to a question, before it is made to fit.
type answer struct {
	rcode int
	// records are for the answer section.
	records []record
	// ordered keeps their order; others are shuffled.
	ordered bool
	// authority and extra are for the sections of these names.
	authority, extra []dns.RR
	// tailored tells that the answer depends on who asked.
	tailored bool
}

// record is one of an answer, with what belongs to it alone.
type record struct {
	rr dns.RR
	// chain follows rr in the answer section: where an alias leads.
	chain []dns.RR
	// glue are the addresses of its target, which come with it.
	glue []dns.RR
	// notes are further records, all of one name, which come where there is room.
	notes []dns.RR
	// size is how many bytes all but the chain and the notes take, set by [answer.add].
	size int
}

// empty tells whether there is no record to give.
func (a *answer) empty() bool { return len(a.records) == 0 }

// add takes a record in.
func (a *answer) add(r *request, rec record) {
	compress := !r.settings.DisableCompression
	rec.size = sizeOf(rec.rr, compress && rec.rr.Header().Name == r.Name)
	for _, rr := range rec.glue {
		srv, ok := rec.rr.(*dns.SRV)
		rec.size += sizeOf(rr, compress && ok && srv.Target == rr.Header().Name)
	}
	a.records = append(a.records, rec)
}

// sizeOf is how many bytes rr takes at most. pointed tells that its name stands in the
// packet already, so that two bytes point at it; that parts of names are shared, too, is
// left out of account.
func sizeOf(rr dns.RR, pointed bool) int {
	n := dns.Len(rr)
	if pointed {
		n -= len(rr.Header().Name) - 1
	}
	return n
}

// The sizes of what every packet has.
const (
	headerSize   = 12
	questionSize = 5 // beside the name
)

// message makes the packet: as many of the records as the request takes.
func (s *Server) message(r *request, a *answer) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(r.msg, a.rcode)
	m.Authoritative = true
	m.RecursionAvailable = len(r.settings.Recursors) > 0
	m.Compress = !r.settings.DisableCompression
	m.Ns = a.authority
	opt := r.opt(a)
	limit, plain := r.size()
	room := limit - headerSize - questionSize - len(r.Name)
	for _, rr := range a.authority {
		room -= dns.Len(rr)
	}
	if opt != nil {
		room -= dns.Len(opt)
	}
	most := len(a.records)
	if n := r.settings.ARecordLimit; n > 0 && r.Qtype != dns.TypeSRV {
		most = min(most, n)
	}
	wanted := most
	if n := r.settings.UDPAnswerLimit; plain && n > 0 {
		most = min(most, n)
	}
	draw := a.draw()
	defer draw.done()
	taken, cut := 0, false
	for i := range most {
		rec := draw.next(i)
		if rec.size > room {
			break
		}
		room -= rec.size
		m.Answer = append(m.Answer, rec.rr)
		m.Extra = append(m.Extra, rec.glue...)
		taken++
		for _, rr := range rec.chain {
			n := sizeOf(rr, false)
			if cut = cut || n > room; cut {
				break
			}
			room -= n
			m.Answer = append(m.Answer, rr)
		}
	}
	for i := range taken {
		m.Extra, room = notes(m.Extra, draw.drawn(i).notes, room, m.Compress)
	}
	m.Extra, _ = notes(m.Extra, a.extra, room, m.Compress)
	m.Truncated = (cut || taken < wanted) && r.udp && r.settings.EnableTruncate
	if opt != nil {
		m.Extra = append(m.Extra, opt)
	}
	return m
}

// notes adds those of more that there is room for, and returns what room is left. They
// share a name.
func notes(to, more []dns.RR, room int, compress bool) ([]dns.RR, int) {
	pointed := false
	for _, rr := range more {
		if n := sizeOf(rr, pointed); n <= room {
			room -= n
			to = append(to, rr)
			pointed = compress
		}
	}
	return to, room
}

// draw takes the records of an answer in random order, or in their own.
type draw struct {
	records []record
	order   *[]int // nil keeps their own
}

var orders = sync.Pool{New: func() any { return new([]int) }}

func (a *answer) draw() *draw {
	d := &draw{records: a.records}
	if a.ordered || len(a.records) < 2 {
		return d
	}
	d.order = orders.Get().(*[]int)
	*d.order = (*d.order)[:0]
	for i := range a.records {
		*d.order = append(*d.order, i)
	}
	return d
}

func (d *draw) done() {
	if d.order != nil {
		orders.Put(d.order)
	}
}

// next draws the record for place i. Places come one after the other, from 0.
func (d *draw) next(i int) *record {
	if d.order != nil {
		order := *d.order
		j := i + rand.IntN(len(order)-i)
		order[i], order[j] = order[j], order[i]
	}
	return d.drawn(i)
}

// drawn is the record that was drawn for place i.
func (d *draw) drawn(i int) *record {
	if d.order != nil {
		i = (*d.order)[i]
	}
	return &d.records[i]
}

// opt is the EDNS record of the answer, nil for a client that sent none.
func (r *request) opt(a *answer) *dns.OPT {
	asked := r.msg.IsEdns0()
	if asked == nil {
		return nil
	}
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(max(asked.UDPSize(), dns.MinMsgSize))
	if asked.Do() {
		opt.SetDo()
	}
	if subnet := r.subnet(); subnet != nil {
		said := *subnet
		said.SourceScope = 0
		if a.tailored {
			said.SourceScope = subnet.SourceNetmask
		}
		opt.Option = append(opt.Option, &said)
	}
	return opt
}
