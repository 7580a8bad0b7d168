package checks

import "fmt"

// Alias is what an alias check looks at: the checks of a service together with those of
// its node, or those of a node alone.
type Alias struct {
	Node    string // "" is this one
	Service string // an ID; "" stands for the node itself
	Token   string // "" is the agent's own
}

// Aliased is a check that an alias check looks at.
type Aliased struct {
	Name, Status, Output string
}

// Follower finds the checks that an alias stands for. It calls tell at once or soon, and
// again after every change, one call at a time, with the checks or with the reason why
// they are not known. stop ends that; a call that comes later is ignored. An alias check
// must not be told of itself.
type Follower func(id string, alias Alias, tell func([]Aliased, error)) (stop func())

// judge is how an alias check ended: as the worst of what it looks at.
func judge(all []Aliased, err error) (status, output string) {
	if err != nil {
		return Critical, err.Error()
	}
	if len(all) == 0 {
		return Passing, "No checks found."
	}
	status, output = Passing, "All checks passing."
	for _, c := range all {
		switch {
		case c.Status == Passing, status == Critical, status == c.Status:
		case c.Status == Warning:
			status, output = Warning, fmt.Sprintf("Aliased check %q warning: %s", c.Name, c.Output)
		default:
			status, output = Critical, fmt.Sprintf("Aliased check %q failing: %s", c.Name, c.Output)
		}
	}
	return status, output
}
