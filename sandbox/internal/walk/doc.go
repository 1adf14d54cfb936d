// Package walk opens paths that another process may change at the same time. A symbolic link in a path cannot lead
// outside of the root directory: it is resolved inside, or is an error. Since Linux 5.6 the kernel does this in one
// call, openat2(2). On some hosts a filter denies that call (a container's filter, or that of a sandbox around the
// launcher), because the mode of a new file is behind a pointer, where no filter can check it. There the package opens
// each component of the path in turn, with openat(2), O_PATH and O_NOFOLLOW, and resolves the links itself, with the
// same guarantees.
package walk
