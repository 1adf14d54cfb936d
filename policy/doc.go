// Package policy is the profile language: what a sandboxed program may see and do, as data.
//
// A file is read by Parse, combined with what it extends by Extend, further files and flags by Merge, and checked by
// Validate. The package makes no system calls and builds on any operating system.
package policy
