// Package egress is the launcher's end of a network with an allow-list: a relay for connections, a name server, and the
// log of both. Its sockets were made in the sandbox's network namespace; it connects from the launcher's own. It reads
// what a program sends, which may be anything, and asks package policy/endpoint about every single connection, whatever
// the rules in the sandbox's kernel say: a task with CAP_NET_ADMIN can take these away.
//
// It runs in goroutines of the launcher and ends with it.
package egress
