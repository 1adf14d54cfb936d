// Package child executes a plan in a forked process in which no Go runtime is running. A plan is a list of system calls
// (package plan).
//
// Link turns a plan into an Image: numbers and pointers in shared memory. Start clones the child. The child executes
// the image's operations with raw system calls and nothing else, in one function that neither allocates nor grows its
// stack. The child reports through a page of memory that it shares with the launcher, so that even a seccomp filter
// that allows nothing cannot silence it.
//
// This is the only package of the project with unsafe and go:linkname. It knows plans and system calls; it must not
// change when a feature is added.
package child
