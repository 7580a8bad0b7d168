// Package store is the replicated state of one datacenter, in memory.
//
// One go-memdb database holds the tables of every domain. Reads run on snapshots
// and take no locks; the Raft log is the only writer. A domain hands over one
// [Module]: its tables, the commands that the log applies to them, and the records
// that a snapshot keeps of them.
//
// A command is a pure function of the transaction, the log index and its own
// fields, so that every server comes to the same rows. What depends on a clock or
// on chance is settled by the leader before the command is logged.
//
// Rows are shared by everyone who reads them: nobody changes a row that was
// inserted, commands insert a changed copy.
package store
