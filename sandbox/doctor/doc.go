// Package doctor says what this machine can do for a sandbox, and what remedies what it cannot.
package doctor
