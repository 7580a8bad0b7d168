package checks

import (
	"container/heap"
	"time"
)

// queue is a heap of the checks that have something to do at a time, the nearest first.
type queue []*check

// plan gives a check its next time.
func (q *queue) plan(c *check, at time.Time) {
	c.at = at
	if c.position >= 0 {
		heap.Fix(q, c.position)
	} else {
		heap.Push(q, c)
	}
}

// drop takes a check out, if it is in.
func (q *queue) drop(c *check) {
	if c.position >= 0 {
		heap.Remove(q, c.position)
	}
}

// due takes out the checks whose time has come.
func (q *queue) due(now time.Time) []*check {
	var all []*check
	for len(*q) > 0 && !(*q)[0].at.After(now) {
		all = append(all, heap.Pop(q).(*check))
	}
	return all
}

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].position, q[j].position = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	c := x.(*check)
	c.position = len(*q)
	*q = append(*q, c)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	last.position = -1
	return last
}

// following is the first time after now in the rhythm of a check that was due at.
func following(at, now time.Time, interval time.Duration) time.Time {
	if late := now.Sub(at); late > 0 {
		return at.Add((late/interval + 1) * interval)
	}
	return at.Add(interval)
}

// lane bounds how many checks of one sort are made at a time. Those beyond wait in line.
type lane struct {
	limit, active int
	waiting       []*check
}

// enter tells whether a check may be made now. If not, it waits.
func (l *lane) enter(c *check) bool {
	if l.active >= l.limit {
		l.waiting = append(l.waiting, c)
		return false
	}
	l.active++
	return true
}

// leave gives the place of one that is done to the next in line, if there is one.
func (l *lane) leave() *check {
	for len(l.waiting) > 0 {
		c := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		if !c.gone {
			return c
		}
	}
	l.waiting = nil
	l.active--
	return nil
}
