// Package cache says where compilers and package managers find their caches in a sandbox: which directories of the
// host are mounted, and which variables name them. It touches nothing.
//
// A project's caches are in one directory of the host, ROOT/PROJECT. PROJECT stands for the working directory and the
// name of the profile. So a task writes only what later runs of the same profile in the same project use: a run that
// may do less cannot decide what a run that may do more compiles. The caller's own caches are only read: a tool that
// can read a second source is shown it read-only, and for other tools the launcher copies what is there when it makes
// the tool's cache.
package cache
