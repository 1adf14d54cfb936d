// Package state stores what other commands need to know about a sandbox: its directory, entry, log and control
// socket.
package state
