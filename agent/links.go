package agent

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/replicate/link"
)

// ReadLinks reads the replication links that the configuration has, and names all that is
// wrong with them, each with its file and its place there.
func ReadLinks(cfg *config.Config) ([]link.Link, error) {
	var links []link.Link
	var errs []error
	for _, written := range cfg.Links {
		l, err := readLink(written.Body, cfg.Datacenter)
		if err == nil {
			err = l.Beside(links, cfg.Datacenter)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", written.Source, written.Kind, err))
			continue
		}
		links = append(links, l)
	}
	return links, errors.Join(errs...)
}

func readLink(written map[string]any, datacenter string) (link.Link, error) {
	body, err := json.Marshal(config.Opaque(written))
	if err != nil {
		return link.Link{}, err
	}
	var req link.OrderRequest
	if req.Link, req.Fields, err = link.ParseSettings(body); err != nil {
		return link.Link{}, err
	}
	l, err := req.Settings(nil)
	if err != nil {
		return l, err
	}
	return l, l.Complete(datacenter)
}
