// Package output copies and counts what a task writes.
package output
