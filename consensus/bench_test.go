package consensus

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkFsync is what the disk takes to make one small write last, to judge the
// others by.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 256)
	at := int64(0)
	for b.Loop() {
		if _, err := f.WriteAt(block, at); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		at += int64(len(block))
	}
}

// benchNodes starts a cluster over TCP on disk and returns its leader first.
func benchNodes(b *testing.B, servers int) []*member {
	b.Helper()
	c := newCluster()
	var nodes []*member
	for i := range servers {
		nodes = append(nodes, c.startTCP(b, fmt.Sprint("n", i), b.TempDir()))
	}
	c.bootstrap(b, nodes[0])
	l := leader(b, nodes...)
	return append([]*member{l}, except(l, nodes)...)
}

// parallel runs op b.N times from that many clients.
func parallel(b *testing.B, clients int, op func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range clients {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := op(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func BenchmarkPropose(b *testing.B) {
	value := make([]byte, 128)
	for _, servers := range []int{1, 3} {
		for _, clients := range []int{1, 64} {
			b.Run(fmt.Sprintf("servers=%d/c=%d", servers, clients), func(b *testing.B) {
				l := benchNodes(b, servers)[0]
				parallel(b, clients, func() error {
					_, _, err := l.Propose(b.Context(), value)
					return err
				})
			})
		}
	}
}

func BenchmarkReadIndex(b *testing.B) {
	for _, servers := range []int{1, 3} {
		for _, clients := range []int{1, 64} {
			b.Run(fmt.Sprintf("leader/servers=%d/c=%d", servers, clients), func(b *testing.B) {
				l := benchNodes(b, servers)[0]
				parallel(b, clients, func() error { return l.ReadIndex(b.Context()) })
			})
		}
	}
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprintf("follower/servers=3/c=%d", clients), func(b *testing.B) {
			f := benchNodes(b, 3)[1]
			if err := f.waitUntilRead(b); err != nil {
				b.Fatal(err)
			}
			parallel(b, clients, func() error { return f.ReadIndex(b.Context()) })
		})
	}
}

// BenchmarkReadYourWrite is a write on the leader and then a read on a follower.
func BenchmarkReadYourWrite(b *testing.B) {
	nodes := benchNodes(b, 3)
	var reading time.Duration
	for b.Loop() {
		if _, _, err := nodes[0].Propose(b.Context(), []byte("x")); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := nodes[1].ReadIndex(b.Context()); err != nil {
			b.Fatal(err)
		}
		reading += time.Since(start)
	}
	b.ReportMetric(float64(reading.Microseconds())/float64(b.N), "µs/read")
}
