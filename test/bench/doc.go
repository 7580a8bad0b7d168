// Command bench measures how fast and how small Hanse is.
//
//	go run ./test/bench [-run REGEXP] [-short] [-for TIME] [-bin PATH] [-list] [-million]
//
// It builds the agent, starts datacenters of separate processes on 127.0.0.1 with their
// data on the disk of the checkout, and prints what it measured beside the target and
// beside what Consul 1.21 did on the same kind of machine. Nothing is asserted: figures
// drift with the machine, which is why two references are measured next to them, a
// write with fsync on the same disk and a bare net/http server under the same load.
//
// Servers and load share the machine. The load therefore comes from connections that
// write prepared bytes and parse no more of an answer than its length, and the CPU time
// that servers spend per operation (from /proc, all of them added up) is printed beside
// the rate: it is steadier than the rate. "CPU enough for" is the rate that follows from it if nothing
// else runs on the machine.
//
// Every process is ended by its own ID, and every file is removed at the end.
package main
