package agent

import (
	"context"
	"fmt"
	"net/http"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/watch"
)

// openWatches reads the watches of the configuration.
func (a *Agent) openWatches() error {
	watches, err := watch.ParseAll(a.cfg.Watches)
	if err != nil {
		return fmt.Errorf("watches: %w", err)
	}
	a.watches = watch.New(watch.Config{Client: a.inside, Log: a.log})
	a.watches.Set(watches)
	return nil
}

// inside makes a client of this agent for this process.
func (a *Agent) inside(datacenter, token string) (*api.Client, error) {
	return api.NewClient(&api.Config{
		Scheme: "http", Address: "inside", HttpClient: &http.Client{Transport: a.http.requests},
		Datacenter: datacenter, Token: token,
	})
}

// runWatches runs the watches until ctx ends.
func (a *Agent) runWatches(ctx context.Context) error {
	defer a.http.requests.CloseIdleConnections()
	return a.watches.Run(ctx)
}
