// Package host describes the machine that a sandbox is compiled for: the kernel, the caller, and the files.
package host
