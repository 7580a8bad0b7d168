package replicate

import "time"

// window adds up what happened in the last ten seconds.
type window struct{ seconds [10]second }

type second struct {
	at          int64 // unix time
	keys, bytes float64
}

func (w *window) add(now time.Time, keys, bytes float64) {
	s := &w.seconds[now.Unix()%int64(len(w.seconds))]
	if s.at != now.Unix() {
		*s = second{at: now.Unix()}
	}
	s.keys += keys
	s.bytes += bytes
}

func (w *window) perSecond(now time.Time) (keys, bytes float64) {
	for _, s := range w.seconds {
		if age := now.Unix() - s.at; age >= 0 && age < int64(len(w.seconds)) {
			keys += s.keys / float64(len(w.seconds))
			bytes += s.bytes / float64(len(w.seconds))
		}
	}
	return keys, bytes
}
