package agent

import (
	"github.com/hanse-project/hanse/acltoken"
	"github.com/hanse-project/hanse/config"
)

// openTokens takes in the agent's own tokens.
func (a *Agent) openTokens() (err error) {
	dir := ""
	if a.cfg.ACL.EnableTokenPersistence {
		dir = a.cfg.DataDir
	}
	a.tokens, err = acltoken.Open(dir, configuredTokens(a.cfg), a.log)
	return err
}

func configuredTokens(cfg *config.Config) map[acltoken.Kind]string {
	t := cfg.ACL.Tokens
	return map[acltoken.Kind]string{
		acltoken.Default: t.Default, acltoken.Agent: t.Agent, acltoken.AgentRecovery: t.AgentRecovery,
		acltoken.Replication: t.Replication, acltoken.Files: t.ConfigFileServiceRegistration, acltoken.DNS: t.DNS,
	}
}
