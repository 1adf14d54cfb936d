// Package walk opens paths that somebody else may change at the same time. A link on the way never leads outside; it is
// followed inside, or it is an error. Since Linux 5.6 the kernel does this in one call, openat2(2). Some hosts refuse
// that call: a container's filter, or the filter of a sandbox around the launcher, because the mode of a new file is
// behind a pointer, so that no filter can check it. On such a host the package makes one openat(2) per name, with O_PATH
// and O_NOFOLLOW, and resolves the links itself, with the same guarantees.
package walk
