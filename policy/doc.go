// Package policy implements the profile language: what a sandboxed program may see and do, as data.
//
// Parse reads a file. Extend merges it with the profiles that it extends. Merge adds further files and flags, and
// Validate checks the result. The package makes no system calls and builds on every operating system.
package policy
