package catalog

// An agent that is set to translate addresses shows those of other datacenters as they
// are reached from outside: by the address tagged "wan", where there is one. What is
// translated is shared, so each function returns a copy, or what it was given if nothing
// changes.

// tagWAN is the tag of addresses for callers in other datacenters.
const tagWAN = "wan"

// Translated is the node as other datacenters reach it.
func (n *Node) Translated() *Node {
	if n == nil || n.TaggedAddresses[tagWAN] == "" {
		return n
	}
	far := *n
	far.Address = n.TaggedAddresses[tagWAN]
	return &far
}

// Translated is the instance as other datacenters reach it: its tagged address goes with
// a port of its own, if that has one.
func (s *NodeService) Translated() *NodeService {
	if s == nil || s.TaggedAddresses[tagWAN].Address == "" {
		return s
	}
	far := *s
	far.Address, far.Port = s.TaggedAddresses[tagWAN].or(s.Port)
	return &far
}

// Translated is the row as other datacenters reach the instance and its node.
func (s *ServiceNode) Translated() *ServiceNode {
	far := *s
	if wan := s.TaggedAddresses[tagWAN]; wan != "" {
		far.Address = wan
	}
	if wan := s.ServiceTaggedAddresses[tagWAN]; wan.Address != "" {
		far.ServiceAddress, far.ServicePort = wan.or(s.ServicePort)
	}
	return &far
}

// Translated is the instance and its node as other datacenters reach them.
func (i CheckServiceNode) Translated() CheckServiceNode {
	i.Node, i.Service = i.Node.Translated(), i.Service.Translated()
	return i
}

// or is the address, with the port of the instance where it has none.
func (a ServiceAddress) or(port int) (string, int) {
	if a.Port != 0 {
		port = a.Port
	}
	return a.Address, port
}
