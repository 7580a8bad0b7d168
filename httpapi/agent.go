package httpapi

// Agent is what the face asks of the agent behind it.
type Agent interface{}
