package agent_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

func TestClientAgentKeepsAnswers(t *testing.T) {
	noLeaks(t)
	server := start(t, "-dev", "-node", "server")
	client := start(t, "-node", "client", "-data-dir", t.TempDir(), "-retry-join", server.addr)
	c, err := api.NewClient(&api.Config{Address: client.addr + ":8500"})
	if err != nil {
		t.Fatal(err)
	}
	for name, discover := range map[string]func(*api.QueryOptions) (int, *api.QueryMeta, error){
		"health service": func(q *api.QueryOptions) (int, *api.QueryMeta, error) {
			rows, meta, err := c.Health().Service("web", "", true, q)
			return len(rows), meta, err
		},
		"catalog service": func(q *api.QueryOptions) (int, *api.QueryMeta, error) {
			rows, meta, err := c.Catalog().Service("web", "", q)
			return len(rows), meta, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			cached := &api.QueryOptions{UseCache: true}
			var before *api.QueryMeta
			lab.Until(t, "the agent answers from its cache", func() error {
				_, meta, err := discover(cached)
				if before = meta; err == nil && !meta.CacheHit {
					err = fmt.Errorf("meta %+v", meta)
				}
				return err
			})
			if err := c.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Port: 80}); err != nil {
				t.Fatal(err)
			}
			// Waiting for a change of what is kept.
			lab.Until(t, "the change is here", func() error {
				rows, meta, err := discover(&api.QueryOptions{UseCache: true, WaitIndex: before.LastIndex, WaitTime: 5 * time.Second})
				if err == nil && (rows != 1 || !meta.CacheHit || meta.CacheAge != 0) {
					err = fmt.Errorf("%d rows with %+v", rows, meta)
				}
				return err
			})
			if err := c.Agent().ServiceDeregister("web"); err != nil {
				t.Fatal(err)
			}
			lab.Until(t, "the end of the service is here", func() error {
				rows, meta, err := discover(cached)
				if err == nil && (rows != 0 || !meta.CacheHit) {
					err = fmt.Errorf("%d rows with %+v", rows, meta)
				}
				return err
			})
		})
	}
	if err := c.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Port: 80}); err != nil {
		t.Fatal(err)
	}
	lab.Until(t, "the service is back", func() error {
		rows, meta, err := c.Health().Service("web", "", true, &api.QueryOptions{UseCache: true})
		if err == nil && len(rows) != 1 {
			err = fmt.Errorf("%d rows with %+v", len(rows), meta)
		}
		return err
	})
	server.stop(t)
	lab.Until(t, "without servers the last answer has an age", func() error {
		rows, meta, err := c.Health().Service("web", "", true, &api.QueryOptions{UseCache: true})
		if err == nil && (len(rows) != 1 || !meta.CacheHit || meta.CacheAge < time.Second) {
			err = fmt.Errorf("%d rows with %+v", len(rows), meta)
		}
		return err
	})
}
