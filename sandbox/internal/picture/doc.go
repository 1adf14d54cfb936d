// Package picture holds the compiler's model of a sandbox's file tree: which file of the host each path shows, and
// which mounts hide other mounts.
package picture
