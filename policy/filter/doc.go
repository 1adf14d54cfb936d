// Package filter turns rules about system calls into a seccomp filter: a classic BPF program for seccomp(2).
//
// A [Spec] names calls, groups of calls and conditions on arguments. [Compile] makes the program: for each architecture
// a decision tree over ranges of call numbers, with the argument checks at its leaves. [Program.Run] interprets the
// program as the kernel would, [Explain] says which line of the profile decides a call, and [Program.Asm] prints the
// program.
//
// The package is pure: it makes no system call, builds on any OS and does nothing when it is imported. Its tables
// (calls per architecture, their arguments, constants, groups) are static arrays.
package filter
