package local

import (
	"fmt"

	"github.com/hanse-project/hanse/rpc"
)

// InvalidError is a definition or a request that is wrong in itself. Its text names the
// field and the reason, in the words that clients know.
type InvalidError struct{ text string }

func (e *InvalidError) Error() string { return e.text }

func invalid(text string) error { return &InvalidError{text} }

func invalidf(format string, args ...any) error { return invalid(fmt.Sprintf(format, args...)) }

// NotFoundError is a request about a service or a check that this agent does not have.
type NotFoundError struct{ text string }

func (e *NotFoundError) Error() string { return e.text }

func noService(id string) error {
	return &NotFoundError{fmt.Sprintf("Unknown service ID %q. Ensure that the service ID is passed, not the service name.", id)}
}

func noCheck(id string) error {
	return &NotFoundError{fmt.Sprintf("Unknown check ID %q. Ensure that the check ID is passed, not the check name.", id)}
}

// Scripts that are not allowed. Clients match the texts.
var (
	errRemoteScripts = rpc.Failed("Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true")
	errFileScripts   = rpc.Failed("Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or 'enable_local_script_checks' to true")
)
