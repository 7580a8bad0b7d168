package digest

// room is how many ranges there may still be, and how many bytes of keys.
type room struct{ ranges, bytes int }

// forSpan is the room of one span. There is always enough for one range.
func (r room) forSpan() room { return room{min(r.ranges, maxParts), r.bytes} }

func (r *room) take(done []Range) {
	r.ranges -= len(done)
	for i := range done {
		r.bytes -= len(done[i].Start)
	}
}

// parts are the ranges of one span while they are made.
type parts struct {
	room room
	// start and sum are those of the last range so far, and done are the ones before it.
	start string
	sum   total
	done  []Range
	// full says that there is no room for the span's ranges.
	full bool
}

// begin ends the last range, and begins one at start unless that is where it begins. It
// returns false if there is no room for it.
func (p *parts) begin(start string) bool {
	if start <= p.start {
		return true
	}
	p.close()
	p.room.bytes -= len(start)
	p.full = len(p.done) >= p.room.ranges || p.room.bytes < 0
	p.start = start
	return !p.full
}

// close ends the last range. One without keys is none.
func (p *parts) close() {
	if p.sum.count > 0 {
		p.done = append(p.done, p.sum.rangeFrom(p.start))
		p.sum = total{}
	}
}
