package local

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanse-project/hanse/catalog"
)

// A service that registers again and again, as some clients do instead of reporting, is
// as well as it was, for another TTL each time.
func TestRegisteringAgainRenewsTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t, nil)
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.runner.Run(ctx) }()
		defer func() {
			end()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		register := func() {
			t.Helper()
			if err := s.registerJSON(`{"Name":"web","Check":{"CheckID":"c","TTL":"30s"}}`); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(status, output string) {
			t.Helper()
			synctest.Wait()
			if c, found := s.Check("c"); !found || c.Status != status || c.Output != output {
				t.Errorf("the check is %+v, want %s", c, status)
			}
		}
		register()
		expect(catalog.Critical, "")
		if err := s.SetTTL("c", catalog.Passing, "fine"); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(20 * time.Second)
			register()
			expect(catalog.Passing, "fine")
		}
		time.Sleep(31 * time.Second)
		expect(catalog.Critical, "TTL expired (last output before timeout follows): fine")
		register()
		expect(catalog.Critical, "TTL expired (last output before timeout follows): fine")
		if err := s.RegisterCheck(&Check{Name: "c", TTL: catalog.Duration(30 * time.Second)}); err != nil {
			t.Fatal(err)
		}
		expect(catalog.Critical, "TTL expired (last output before timeout follows): fine")
	})
}
