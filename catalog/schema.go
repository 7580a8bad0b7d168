package catalog

import (
	"fmt"
	"strings"

	memdb "github.com/hashicorp/go-memdb"

	"github.com/hanse-project/hanse/store"
)

const (
	tableNodes    = "nodes"
	tableServices = "services"
	tableChecks   = "checks"

	// Each table has the index "id", whose parts are joined so that a prefix of them
	// finds all rows of one node.
	indexUUID    = "uuid"    // of nodes: by ID
	indexName    = "name"    // of services: by name; of checks: by the name of their service
	indexMesh    = "mesh"    // of services: by the service they accept mesh connections for
	indexService = "service" // of checks: by node and service ID, "" for those of the node
	indexStatus  = "status"  // of checks: by status

	opRegister   store.Op = 0
	opDeregister store.Op = 1

	recordRegister = 0
)

// The names under which the store notes when something last changed, besides the tables.
func touchNode(node string) string       { return "node:" + fold(node) }
func touchNodeChecks(node string) string { return "node-checks:" + fold(node) }
func touchService(name string) string    { return "service:" + fold(name) }
func touchMesh(name string) string       { return "mesh:" + fold(name) }
func touchStatus(status string) string   { return "checks:" + status }

// instance is the row of a service: what the node registered, and its name.
type instance struct {
	node    string
	service *NodeService
}

// meshName is the service that i accepts mesh connections for, "" if it does not.
func (i *instance) meshName() string {
	switch s := i.service; {
	case s.Kind == KindConnectProxy:
		return s.Proxy.DestinationServiceName
	case s.Connect.Native:
		return s.Service
	}
	return ""
}

// Module is what the server of a datacenter takes over from this package.
func Module(datacenter string) store.Module {
	return store.Module{
		Name:   "catalog",
		Tables: []*memdb.TableSchema{nodesTable(), servicesTable(), checksTable()},
		Commands: []store.Command{
			store.On(opRegister, applyRegister),
			store.On(opDeregister, applyDeregister),
		},
		Records: []store.Record{store.Persist(recordRegister, registrations, loader{datacenter}.load)},
	}
}

func nodesTable() *memdb.TableSchema {
	return table(tableNodes,
		unique("id", func(row any) []string { return []string{fold(row.(*Node).Node)} }),
		unique(indexUUID, func(row any) []string { return present(fold(row.(*Node).ID)) }),
	)
}

func servicesTable() *memdb.TableSchema {
	return table(tableServices,
		unique("id", func(row any) []string {
			i := row.(*instance)
			return []string{fold(i.node), i.service.ID}
		}),
		shared(indexName, func(row any) []string { return []string{fold(row.(*instance).service.Service)} }),
		shared(indexMesh, func(row any) []string { return present(fold(row.(*instance).meshName())) }),
	)
}

func checksTable() *memdb.TableSchema {
	return table(tableChecks,
		unique("id", func(row any) []string {
			c := row.(*HealthCheck)
			return []string{fold(c.Node), c.CheckID}
		}),
		shared(indexName, func(row any) []string { return present(fold(row.(*HealthCheck).ServiceName)) }),
		shared(indexService, func(row any) []string {
			c := row.(*HealthCheck)
			return []string{fold(c.Node), c.ServiceID}
		}),
		shared(indexStatus, func(row any) []string { return []string{row.(*HealthCheck).Status} }),
	)
}

// fold makes names equal that differ in case only, as DNS sees them.
func fold(name string) string { return strings.ToLower(name) }

// present is the key of a row that may have none.
func present(part string) []string {
	if part == "" {
		return nil
	}
	return []string{part}
}

func table(name string, indexes ...*memdb.IndexSchema) *memdb.TableSchema {
	t := &memdb.TableSchema{Name: name, Indexes: map[string]*memdb.IndexSchema{}}
	for _, i := range indexes {
		t.Indexes[i.Name] = i
	}
	return t
}

func unique(name string, parts func(row any) []string) *memdb.IndexSchema {
	return &memdb.IndexSchema{Name: name, Unique: true, AllowMissing: true, Indexer: partsIndex{parts}}
}

// shared is an index in which rows with the same key stand in the order of their id.
func shared(name string, parts func(row any) []string) *memdb.IndexSchema {
	return &memdb.IndexSchema{Name: name, AllowMissing: true, Indexer: partsIndex{parts}}
}

// partsIndex indexes rows by names, each ended by a zero byte. No name contains one:
// [checkName] refuses it.
type partsIndex struct{ parts func(row any) []string }

// FromObject implements memdb.SingleIndexer.
func (p partsIndex) FromObject(row any) (bool, []byte, error) {
	parts := p.parts(row)
	return parts != nil, join(parts), nil
}

// FromArgs implements memdb.Indexer.
func (p partsIndex) FromArgs(args ...any) ([]byte, error) {
	parts := make([]string, len(args))
	for i, arg := range args {
		part, ok := arg.(string)
		if !ok {
			return nil, fmt.Errorf("part %d of a key is a string, not a %T", i, arg)
		}
		parts[i] = part
	}
	return join(parts), nil
}

// PrefixFromArgs implements memdb.PrefixIndexer: the first parts find all that share them.
func (p partsIndex) PrefixFromArgs(args ...any) ([]byte, error) { return p.FromArgs(args...) }

func join(parts []string) []byte {
	n := 0
	for _, part := range parts {
		n += len(part) + 1
	}
	key := make([]byte, 0, n)
	for _, part := range parts {
		key = append(append(key, part...), 0)
	}
	return key
}
