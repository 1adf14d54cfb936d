// Package cache says where compilers and package managers find their caches in a sandbox: which directories of the host
// are mounted, and which variables name them. The package itself reads and changes no files.
//
// A project's caches are in one directory of the host, ROOT/PROJECT. PROJECT stands for the working directory and the
// name of the profile. So a task can only write caches that later runs of the same profile in the same project use. A
// run with fewer rights therefore cannot change what a run with more rights compiles. The caller's own caches are only
// read. If a tool can read a second source, the task sees the caller's cache read-only. For other tools, the launcher
// copies the caller's cache when it makes the tool's cache.
package cache
