package local

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// A registration is kept on disk, and known, before it is answered.
func BenchmarkRegisterService(b *testing.B) {
	dir := b.TempDir()
	s := newState(b, func(c *Config) { c.DataDir = dir })
	var n atomic.Int64
	b.SetParallelism(2)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.registerJSON(fmt.Sprintf(`{"Name":"web","ID":"web-%d","Port":80,"Check":{"TTL":"10m"}}`, n.Add(1))); err != nil {
				b.Fatal(err)
			}
		}
	})
}
