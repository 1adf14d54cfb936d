// Package state stores what other commands need to know about a sandbox: its directory, its entry, its log and its
// control socket.
package state
