// Package filter turns rules about system calls into a seccomp filter: a classic BPF program for seccomp(2).
//
// A [Spec] names calls, groups of calls and conditions on arguments. [Compile] makes the program: one decision tree
// over ranges of call numbers per architecture, with the argument checks at its leaves. [Program.Run] interprets the
// program as the kernel would, [Explain] says which line of the profile decides a call, and [Program.Asm] prints it.
//
// The package is pure: it makes no system call, builds on any OS and does nothing when it is imported. Its tables
// (calls per architecture, their arguments, constants, groups) are static arrays.
package filter
