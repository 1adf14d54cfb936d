package sandbox

// What it takes to map ids: user_namespaces(7), "Defining user and group ID mappings".

import "golang.org/x/sys/unix"

// mayMapRoot reports whether the launcher may map the id 0 that it sees: since Linux 5.12 that takes CAP_SETFCAP, as a file's
// capabilities hold for the root of the namespace that set them.
func (c *compilation) mayMapRoot() bool {
	return c.ids.outUID != 0 || c.hasSetFCap()
}

func (c *compilation) hasSetFCap() bool {
	return !c.host.Since(5, 12) || c.host.Permitted&(1<<unix.CAP_SETFCAP) != 0
}

// mapHint says why the kernel refused a map.
func (c *compilation) mapHint(err error) string {
	switch {
	case err != unix.EPERM:
		return ""
	case c.mayMapRoot() && c.host.HostRoot && !c.hasSetFCap():
		return "the id is not mapped where this process runs, as in a container; " + c.orRoot()
	case c.mayMapRoot():
		return "the id is not mapped where this process runs, as in a container; --host-user caller keeps the caller's id"
	case c.host.GivesIDs():
		return "a map of root's id takes CAP_SETFCAP since Linux 5.12, and the launcher does not have it: give it that, or leave out " +
			"user: {host: caller} and --host-user caller, and the task gets an id of its own"
	}
	return "a map of root's id takes CAP_SETFCAP since Linux 5.12, and the launcher does not have it: give it that; or SETUID and SETGID, " +
		"and without user: {host: caller} the task gets an id of its own"
}

// orRoot is the remedy to run the task as root, with what it takes.
func (c *compilation) orRoot() string {
	if !c.hasSetFCap() {
		return "--host-user caller runs the task as root, and takes CAP_SETFCAP, which the launcher does not have"
	}
	return "--host-user caller runs the task as root"
}
