// Package search searches the files that a sandbox shows of the host. One search serves the hide rules for names at any
// depth, the protection of git repositories, and the mounts that hide sockets. Nearly all directories look the same in
// the sandbox as on the host: they are walked on the host, by descriptor and on two threads (package walk). The others
// are listed from the model of the sandbox's tree (package picture).
package search
