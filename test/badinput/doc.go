// Package badinput tests what an agent says about mistakes, from outside: the built
// binary is started with each of them, and has to say once, in words, what is wrong and
// what to do, to end with code 1, and to leave what it found as it was.
package badinput
