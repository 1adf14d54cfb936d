// Package report holds the report of a run: what happened, and what the kernel confirmed.
package report
