// Package clients runs programs that know Consul and nothing of Hanse, unmodified,
// against real agents: those of others, and small ones below this folder that are
// written as the tutorials write theirs. Each follows what it looks for while instances
// come, fall ill and go.
package clients
