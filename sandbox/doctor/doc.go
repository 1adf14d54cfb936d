// Package doctor says what this machine can do for a sandbox, and how to get what is missing.
package doctor
