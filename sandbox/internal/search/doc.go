// Package search searches the files of the host that a sandbox shows. One search serves the hide rules for names at any
// depth, the protection of git repositories, and the mounts that hide sockets. Most directories look the same in the
// sandbox as on the host. The search walks through these on the host, by descriptor and on two threads (package walk).
// It lists all other directories from the model of the sandbox's tree (package picture).
package search
