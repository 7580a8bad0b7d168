// Command hanse is the command line: it runs an agent, and talks to a running
// one over its HTTP API.
//
// Every subcommand is a [command] value in a file of its own and a line in
// commands.go. It declares its flags on a flag set, and returns the function
// that does the work once they are parsed. The function returns an error whose
// text is what the user reads; how errors become exit codes is in errors.go.
//
// Columns, words and exit codes are those of Consul's command line, because
// scripts parse them; -format=json stands beside them where a script would ask
// for it. The program looks at its own name nowhere: installed as "consul" it
// does the same.
package main
