// Package lab runs whole federations of real agents for tests, and does to them what
// a bad day does: it cuts and delays the network, freezes and kills.
//
//	fed := lab.Start(t, lab.Servers("shanghai", 3), lab.Servers("beijing", 3))
//	fed.Cut(t, "shanghai", "beijing")
//	fed.DC("shanghai").KillLeader(t)
//	fed.Heal(t, "shanghai", "beijing")
//
// There are three places for the agents:
//
//   - in the process of the test, the default: sockets are real, and what the agents say
//     to each other passes the lab's own network, which obeys Cut, Delay and Lose. All
//     goroutines must have ended when the test ends.
//   - as processes ([Processes]): the built binary, which can be frozen and killed.
//   - as processes in network namespaces of their own ([Namespaces]): packets pass a
//     router of the lab between TUN devices, so that everything can be done to them
//     that is done to packets. This takes root, and HANSE_LAB=1 in the environment.
//
// Every agent has an address of its own, in 127.0.0.0/8 or in its namespace. Whatever a
// test waits for, it waits for with [Until]: there are two minutes for it, and the failure
// says what was missing last.
package lab
