package dnsserver

import (
	"math/rand/v2"

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
	// glue are the addresses of its target, which come with it.
	glue []dns.RR
	// notes are further records, which come where there is room.
	notes []dns.RR
}

// empty tells whether there is no record to give.
func (a *answer) empty() bool { return len(a.records) == 0 }

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
	room := limit - m.Len()
	if opt != nil {
		room -= dns.Len(opt)
	}

	records := a.records
	if !a.ordered && len(records) > 1 {
		records = append([]record(nil), records...)
		rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	}
	if n := r.settings.ARecordLimit; n > 0 && n < len(records) && r.Qtype != dns.TypeSRV {
		records = records[:n]
	}
	wanted := len(records)
	if n := r.settings.UDPAnswerLimit; plain && n > 0 && n < wanted {
		records = records[:n]
	}
	fit := newFit(r.Name, room, m.Compress)
	for i := range records {
		if !fit.take(records[i].rr, records[i].glue) {
			records = records[:i]
			break
		}
		m.Answer = append(m.Answer, records[i].rr)
		m.Extra = append(m.Extra, records[i].glue...)
	}
	for _, rec := range records {
		m.Extra = fit.notes(m.Extra, rec.notes)
	}
	m.Extra = fit.notes(m.Extra, a.extra)
	m.Truncated = len(m.Answer) < wanted && r.udp && r.settings.EnableTruncate
	if opt != nil {
		m.Extra = append(m.Extra, opt)
	}
	return m
}

// fit counts the bytes that records take, never less than they do.
type fit struct {
	room     int
	compress bool
	// seen are the names that later ones can point at.
	seen map[string]bool
}

func newFit(question string, room int, compress bool) *fit {
	return &fit{room: room, compress: compress, seen: map[string]bool{question: true}}
}

// size is how many bytes rr takes. A name that stands in the packet already takes two;
// that parts of it may stand there is left out of account.
func (f *fit) size(rr dns.RR) int {
	n := dns.Len(rr)
	if name := rr.Header().Name; f.compress && f.seen[name] {
		n -= len(name) - 1
	}
	return n
}

// note remembers the names in rr.
func (f *fit) note(rr dns.RR) {
	f.seen[rr.Header().Name] = true
	if srv, ok := rr.(*dns.SRV); ok {
		f.seen[srv.Target] = true
	}
}

// take tells whether there is room for a record with its glue, and takes it then.
func (f *fit) take(rr dns.RR, glue []dns.RR) bool {
	before := f.room
	for _, each := range append([]dns.RR{rr}, glue...) {
		f.room -= f.size(each)
		f.note(each)
	}
	if f.room < 0 {
		f.room = before
		return false
	}
	return true
}

// notes adds those of more that there is room for.
func (f *fit) notes(to, more []dns.RR) []dns.RR {
	for _, rr := range more {
		if n := f.size(rr); n <= f.room {
			f.room -= n
			f.note(rr)
			to = append(to, rr)
		}
	}
	return to
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
