package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/hanse-project/hanse/cache"
	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/mesh"
	"github.com/hanse-project/hanse/mesh/entry"
	"github.com/hanse-project/hanse/mesh/leaf"
)

// ReadMesh reads what the configuration says of the mesh: the config entries that are to
// be there from the beginning.
func ReadMesh(cfg *config.Config) ([]*entry.Entry, error) {
	var errs []error
	if err := mesh.CheckConfig(cfg.Connect.CAProvider, cfg.Connect.CAConfig); err != nil {
		errs = append(errs, fmt.Errorf("connect.ca_provider, connect.ca_config: %w", err))
	}
	var entries []*entry.Entry
	for i, written := range cfg.BootstrapEntries {
		e, err := entry.Parse(written.Body)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: config_entries.bootstrap[%d]: %w", written.Source, i, err))
			continue
		}
		entries = append(entries, e)
	}
	return entries, errors.Join(errs...)
}

// openMesh makes what keeps the certificates of this agent's services.
func (a *Agent) openMesh() {
	a.leaves = leaf.New(leaf.Config{
		Caller: a.role.Caller(), Datacenter: a.cfg.Datacenter, Log: a.log,
		Roots: func(ctx context.Context, after uint64) (*mesh.Roots, error) {
			req := &mesh.RootsRequest{}
			req.Datacenter, req.UseCache, req.MinQueryIndex = a.cfg.Datacenter, true, after
			roots, _, err := cache.Get(ctx, a.cache, &mesh.ListRoots, req)
			return roots, err
		},
	})
}
