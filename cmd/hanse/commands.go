package main

// commands is every subcommand, a line each. A group stands before its members.
var commands = []command{
	agentCommand,
	catalogGroup,
	catalogDatacenters,
	catalogNodes,
	catalogServices,
	configGroup,
	configDelete,
	configList,
	configRead,
	configWrite,
	connectGroup,
	connectCAGroup,
	connectCAGetConfig,
	connectCASetConfig,
	demoCommand,
	eventCommand,
	execCommand,
	federationGroup,
	federationStatus,
	forceLeave,
	info,
	join,
	keygen,
	keyringCommand,
	kvGroup,
	kvDelete,
	kvExport,
	kvGet,
	kvImport,
	kvPut,
	leave,
	lockCommand,
	maintCommand,
	members,
	monitorCommand,
	operatorGroup,
	operatorAutopilotGroup,
	autopilotGetConfig,
	autopilotSetConfig,
	autopilotState,
	operatorRaftGroup,
	raftListPeers,
	raftRemovePeer,
	raftTransferLeader,
	operatorUsageGroup,
	usageInstances,
	reload,
	replicateCommand,
	replicateExplain,
	linkGroup,
	linkApprove,
	linkList,
	linkPause,
	linkReject,
	linkRemove,
	linkResume,
	linkResync,
	linkSet,
	linkStatus,
	linkVerify,
	rttCommand,
	servicesGroup,
	servicesRegister,
	servicesDeregister,
	servicesExport,
	snapshotGroup,
	snapshotInspect,
	snapshotRestore,
	snapshotSave,
	validate,
	versionCommand,
	watchCommand,
}

// The groups say what their members have in common.
var (
	catalogGroup = command{
		name:     "catalog",
		short:    "Look at datacenters, nodes and services",
		long:     "Reads the catalog: the datacenters that are known, their nodes, and the\nservices on them.",
		examples: []string{"catalog datacenters", "catalog services -datacenter=beijing"},
	}
	federationGroup = command{
		name:     "federation",
		short:    "Look at all datacenters",
		long:     "Shows how the datacenters of the federation are.",
		examples: []string{"federation status", "federation status -watch"},
	}
	kvGroup = command{
		name:     "kv",
		short:    "Read and write the key/value store",
		long:     "Reads and writes the key/value store of a datacenter.",
		examples: []string{"kv put config/limit 20", "kv get config/limit", "kv get -recurse config/"},
	}
	operatorGroup = command{
		name:     "operator",
		short:    "Tools for those who run the cluster",
		long:     "Tools for those who run the cluster.",
		examples: []string{"operator raft list-peers"},
	}
	operatorRaftGroup = command{
		name:     "operator raft",
		short:    "Look at and repair the Raft configuration",
		long:     "Shows the servers that hold the replicated log, hands the lead over, and\nremoves a server that is gone for good.",
		examples: []string{"operator raft list-peers", "operator raft transfer-leader", "operator raft remove-peer -address=10.0.0.3:8300"},
	}
	operatorAutopilotGroup = command{
		name:     "operator autopilot",
		short:    "Look at the servers' health, and how the quorum is kept",
		long:     "Shows how the servers are, and shows and changes the rules by which new ones\nget their vote and dead ones are removed.",
		examples: []string{"operator autopilot state", "operator autopilot get-config", "operator autopilot set-config -cleanup-dead-servers=false"},
	}
	operatorUsageGroup = command{
		name:     "operator usage",
		short:    "Count what is in use",
		long:     "Counts what is in use.",
		examples: []string{"operator usage instances"},
	}
	linkGroup = command{
		name:  "replicate link",
		short: "Links that the servers run themselves",
		long: "A link keeps a prefix of another datacenter the same in this one, or in that\n" +
			"of -datacenter. The links of a datacenter are kept by its servers, and its\n" +
			"leader runs them.",
		examples: []string{
			"replicate link set -source-datacenter=shanghai -prefix=config/",
			"replicate link status -watch",
			"replicate link pause shanghai-config",
		},
	}
	snapshotGroup = command{
		name:     "snapshot",
		short:    "Save, inspect and restore the state of a datacenter",
		long:     "Saves the state of a datacenter's servers to a file, shows what such a file\nholds, and puts it back.",
		examples: []string{"snapshot save backup.snap", "snapshot inspect backup.snap"},
	}
)
