// Package state keeps what other commands know of a sandbox: its directory, entry, log and control socket.
package state
