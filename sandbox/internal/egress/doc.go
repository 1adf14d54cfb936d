// Package egress is the launcher's end of a network with an allow-list: a relay for connections, a name server, and the
// log of both. The sandbox's child has made egress's sockets in the sandbox's network namespace. egress connects to the
// outside from the launcher's own network namespace. It reads what a program sends, which may be anything. It asks
// package policy/endpoint about every single connection, whatever the rules in the sandbox's kernel say, because a task
// with CAP_NET_ADMIN can remove these rules.
//
// egress runs in goroutines of the launcher and ends with the launcher.
package egress
