package compile

// What it takes to map ids: user_namespaces(7), "Defining user and group ID mappings".

import "golang.org/x/sys/unix"

// MayMapRoot reports whether the launcher may map the id 0 that it sees: since Linux 5.12 that takes CAP_SETFCAP, as a file's
// capabilities hold for the root of the namespace that set them.
func (c *Compilation) MayMapRoot() bool {
	return c.IDs.OutUID != 0 || c.hasSetFCap()
}

func (c *Compilation) hasSetFCap() bool {
	return !c.Host.Since(5, 12) || c.Host.Permitted&(1<<unix.CAP_SETFCAP) != 0
}

// MapHint says why the kernel refused a map.
func (c *Compilation) MapHint(err error) string {
	switch {
	case err != unix.EPERM:
		return ""
	case c.MayMapRoot() && c.Host.HostRoot && !c.hasSetFCap():
		return "the id is not mapped where this process runs, as in a container; " + c.OrRoot()
	case c.MayMapRoot():
		return "the id is not mapped where this process runs, as in a container; --host-user caller keeps the caller's id"
	case c.Host.GivesIDs():
		return "a map of root's id takes CAP_SETFCAP since Linux 5.12, and the launcher does not have it: give it that, or leave out " +
			"user: {host: caller} and --host-user caller, and the task gets an id of its own"
	}
	return "a map of root's id takes CAP_SETFCAP since Linux 5.12, and the launcher does not have it: give it that; or SETUID and SETGID, " +
		"and without user: {host: caller} the task gets an id of its own"
}

// OrRoot is the remedy to run the task as root, with what it takes.
func (c *Compilation) OrRoot() string {
	if !c.hasSetFCap() {
		return "--host-user caller runs the task as root, and takes CAP_SETFCAP, which the launcher does not have"
	}
	return "--host-user caller runs the task as root"
}
