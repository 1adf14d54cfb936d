// Package search looks through what a sandbox shows of the host, once for all who ask: the hide rules for names at any
// depth, the protection of git's repositories, and the covers of sockets. Directories that the sandbox shows as they
// are, which are nearly all, are walked on the host, by descriptor and on two threads (package walk). The others are
// listed as the compiler's picture has them.
package search
