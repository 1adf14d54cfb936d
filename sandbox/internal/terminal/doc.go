// Package terminal gives a task a terminal of its own, and copies between it and the caller's.
package terminal
