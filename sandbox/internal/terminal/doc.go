// Package terminal gives a task a terminal of its own, and copies between that terminal and the caller's.
package terminal
