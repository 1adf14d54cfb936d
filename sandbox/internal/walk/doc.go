// Package walk opens paths that somebody else may change meanwhile. A link on the way leads nowhere outside, or is an
// error. The kernel does that in one call, openat2(2), since Linux 5.6. Some hosts refuse the call: a container's filter,
// or the filter of a sandbox around the launcher, because the mode of a new file is behind a pointer there, where no
// filter can judge it. On such a host the package makes one openat(2) per name, with O_PATH and O_NOFOLLOW, and
// resolves the links itself; what it promises is the same.
package walk
