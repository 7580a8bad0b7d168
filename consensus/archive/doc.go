// Package archive reads and writes snapshot archives: a gzipped tar of exactly three
// files, in this order when written and in any when read.
//
//	meta.json   raft's metadata of the snapshot
//	state.bin   the state, as the state machine wrote it
//	SHA256SUMS  a line "HEX  NAME" for each of the other two
//
// Both directions stream. [Read] hands out nothing before every checksum has been
// compared, so a reader never acts on half of a damaged archive.
package archive
