package record

// This file says which arguments of which system calls are paths or socket addresses: syscalls(2), and the manual page
// of each call.

import (
	"strconv"

	"cordon/policy/filter"
	"cordon/policy/recording"
)

// noFD is used in place of an index if a call has no directory argument.
const noFD = -1

// pathArg describes one path among the arguments of a call.
type pathArg struct {
	call      string
	dir, path int // indices of the arguments; dir may be noFD
	want      recording.Access
	flags     int    // index of the flags that decide whether a final link is followed; 0 if there are none
	nofollow  uint64 // the flag that makes the call not follow such a link
	follow    bool   // whether the call follows such a link without that flag
}

const (
	atSymlinkNofollow = 0x100 // AT_SYMLINK_NOFOLLOW
	atSymlinkFollow   = 0x400 // AT_SYMLINK_FOLLOW, of linkat(2)
	atEmptyPath       = 0x1000
	atFDCWD           = -100
)

var pathArgs = [...]pathArg{
	{"open", noFD, 0, 0, 1, oNofollow, true},
	{"openat", 0, 1, 0, 2, oNofollow, true},
	{"openat2", 0, 1, 0, 0, 0, true}, // its flags are in a structure in memory
	{"creat", noFD, 0, recording.Write | recording.Create, 0, 0, true},
	{"execve", noFD, 0, recording.Execute, 0, 0, true},
	{"execveat", 0, 1, recording.Execute, 4, atSymlinkNofollow, true},
	{"stat", noFD, 0, recording.Stat, 0, 0, true},
	{"stat64", noFD, 0, recording.Stat, 0, 0, true},
	{"lstat", noFD, 0, recording.Stat, 0, 0, false},
	{"lstat64", noFD, 0, recording.Stat, 0, 0, false},
	{"newfstatat", 0, 1, recording.Stat, 3, atSymlinkNofollow, true},
	{"fstatat64", 0, 1, recording.Stat, 3, atSymlinkNofollow, true},
	{"statx", 0, 1, recording.Stat, 2, atSymlinkNofollow, true},
	{"access", noFD, 0, recording.Stat, 0, 0, true},
	{"faccessat", 0, 1, recording.Stat, 0, 0, true},
	{"faccessat2", 0, 1, recording.Stat, 3, atSymlinkNofollow, true},
	{"readlink", noFD, 0, recording.Read, 0, 0, false},
	{"readlinkat", 0, 1, recording.Read, 0, 0, false},
	{"statfs", noFD, 0, recording.Stat, 0, 0, true},
	{"statfs64", noFD, 0, recording.Stat, 0, 0, true},
	{"chdir", noFD, 0, recording.Chdir, 0, 0, true},
	{"chroot", noFD, 0, recording.Chdir, 0, 0, true},
	{"name_to_handle_at", 0, 1, recording.Stat, 0, 0, false},
	{"inotify_add_watch", noFD, 1, recording.Read, 0, 0, true},
	{"fanotify_mark", 3, 4, recording.Read, 0, 0, true},
	{"truncate", noFD, 0, recording.Write | recording.Truncate, 0, 0, true},
	{"truncate64", noFD, 0, recording.Write | recording.Truncate, 0, 0, true},
	{"mkdir", noFD, 0, recording.Create, 0, 0, false},
	{"mkdirat", 0, 1, recording.Create, 0, 0, false},
	{"mknod", noFD, 0, recording.Create, 0, 0, false},
	{"mknodat", 0, 1, recording.Create, 0, 0, false},
	{"symlink", noFD, 1, recording.Create, 0, 0, false},
	{"symlinkat", 1, 2, recording.Create, 0, 0, false},
	{"link", noFD, 0, recording.Link, 0, 0, false},
	{"link", noFD, 1, recording.Link | recording.Create, 0, 0, false},
	{"linkat", 0, 1, recording.Link, 4, 0, false},
	{"linkat", 2, 3, recording.Link | recording.Create, 0, 0, false},
	{"rename", noFD, 0, recording.Rename, 0, 0, false},
	{"rename", noFD, 1, recording.Rename | recording.Create, 0, 0, false},
	{"renameat", 0, 1, recording.Rename, 0, 0, false},
	{"renameat", 2, 3, recording.Rename | recording.Create, 0, 0, false},
	{"renameat2", 0, 1, recording.Rename, 0, 0, false},
	{"renameat2", 2, 3, recording.Rename | recording.Create, 0, 0, false},
	{"rmdir", noFD, 0, recording.Delete, 0, 0, false},
	{"unlink", noFD, 0, recording.Delete, 0, 0, false},
	{"unlinkat", 0, 1, recording.Delete, 0, 0, false},
	{"chmod", noFD, 0, recording.Attr, 0, 0, true},
	{"fchmodat", 0, 1, recording.Attr, 0, 0, true},
	{"fchmodat2", 0, 1, recording.Attr, 3, atSymlinkNofollow, true},
	{"chown", noFD, 0, recording.Attr, 0, 0, true},
	{"chown32", noFD, 0, recording.Attr, 0, 0, true},
	{"lchown", noFD, 0, recording.Attr, 0, 0, false},
	{"lchown32", noFD, 0, recording.Attr, 0, 0, false},
	{"fchownat", 0, 1, recording.Attr, 4, atSymlinkNofollow, true},
	{"utime", noFD, 0, recording.Attr, 0, 0, true},
	{"utimes", noFD, 0, recording.Attr, 0, 0, true},
	{"futimesat", 0, 1, recording.Attr, 0, 0, true},
	{"utimensat", 0, 1, recording.Attr, 3, atSymlinkNofollow, true},
	{"utimensat_time64", 0, 1, recording.Attr, 3, atSymlinkNofollow, true},
	{"setxattr", noFD, 0, recording.Attr, 0, 0, true},
	{"lsetxattr", noFD, 0, recording.Attr, 0, 0, false},
	{"setxattrat", 0, 1, recording.Attr, 2, atSymlinkNofollow, true},
	{"removexattr", noFD, 0, recording.Attr, 0, 0, true},
	{"lremovexattr", noFD, 0, recording.Attr, 0, 0, false},
	{"removexattrat", 0, 1, recording.Attr, 2, atSymlinkNofollow, true},
	{"getxattr", noFD, 0, recording.Read, 0, 0, true},
	{"lgetxattr", noFD, 0, recording.Read, 0, 0, false},
	{"getxattrat", 0, 1, recording.Read, 2, atSymlinkNofollow, true},
	{"listxattr", noFD, 0, recording.Read, 0, 0, true},
	{"llistxattr", noFD, 0, recording.Read, 0, 0, false},
	{"listxattrat", 0, 1, recording.Read, 2, atSymlinkNofollow, true},
	{"mount", noFD, 1, recording.Mount, 0, 0, true},
	{"umount", noFD, 0, recording.Mount, 0, 0, true},
	{"umount2", noFD, 0, recording.Mount, 0, 0, true},
	{"pivot_root", noFD, 0, recording.Mount, 0, 0, true},
	{"pivot_root", noFD, 1, recording.Mount, 0, 0, true},
	{"open_tree", 0, 1, recording.Stat, 0, 0, true},
	{"move_mount", 2, 3, recording.Mount, 0, 0, true},
	{"mount_setattr", 0, 1, recording.Attr, 0, 0, true},
	{"swapon", noFD, 0, recording.Read | recording.Write, 0, 0, true},
	{"swapoff", noFD, 0, recording.Stat, 0, 0, true},
	{"acct", noFD, 0, recording.Write, 0, 0, true},
	{"uselib", noFD, 0, recording.Execute, 0, 0, true},
}

// addrArg describes a socket address among the arguments: struct sockaddr and its length.
type addrArg struct {
	call      string
	addr, len int
	what      string
}

var addrArgs = [...]addrArg{
	{"connect", 1, 2, "connect"},
	{"bind", 1, 2, "bind"},
	{"sendto", 4, 5, "send"},
}

// These are the flags of open(2) that decide the access. They are the same on every supported architecture, except for
// oDirectory and oNofollow.
const (
	oAccmode = 3
	oWronly  = 1
	oRdwr    = 2
	oCreat   = 0x40
	oTrunc   = 0x200
	oPath    = 0x200000
)

// opens returns the access that flags of open(2) request.
func opens(flags uint64) (a recording.Access) {
	switch {
	case flags&oPath != 0:
		return recording.Stat
	case flags&oAccmode == oWronly:
		a = recording.Write
	case flags&oAccmode == oRdwr:
		a = recording.Read | recording.Write
	case flags&oAccmode == 3:
		a = recording.Read | recording.Write // such a descriptor is only for ioctl(2), but the kernel checks both permissions
	default:
		a = recording.Read
	}
	if flags&oCreat != 0 || flags&oTmpfileBit != 0 {
		a |= recording.Create
	}
	if flags&oTrunc != 0 {
		a |= recording.Write | recording.Truncate
	}
	if flags&oDirectory != 0 && flags&oTmpfileBit == 0 && a == recording.Read {
		return recording.List
	}
	return a
}

// openFlags returns the index of the argument with open's flags, or noFD if there is none.
func openFlags(call string) int {
	switch call {
	case "open":
		return 1
	case "openat":
		return 2
	}
	return noFD
}

// call says what the recorder examines in a system call.
type call struct {
	name  string // the name in recordings
	arch  string // the ABI, if it is not the machine's own
	gates []recording.Gate
	paths []pathArg
	addr  *addrArg
}

// lookup returns what the recorder examines in the call with the number nr.
func lookup(native filter.Arch, audit uint32, nr int32) *call {
	d := filter.Decode(&filter.Data{Nr: nr, Arch: audit}, nil)
	c := &call{name: d.Call, gates: recording.Gates(d.Call)}
	if d.Call == "" {
		c.name = "#" + strconv.FormatUint(uint64(uint32(nr)), 10)
	}
	if d.Arch != native && d.Arch != filter.NoArch {
		c.arch = d.Arch.String()
	}
	for i := range pathArgs {
		if pathArgs[i].call == c.name {
			c.paths = append(c.paths, pathArgs[i])
		}
	}
	for i := range addrArgs {
		if addrArgs[i].call == c.name {
			c.addr = &addrArgs[i]
		}
	}
	return c
}

// follows reports whether the call follows a link at the end of the path.
func (p *pathArg) follows(args *[6]uint64) bool {
	switch {
	case p.call == "linkat" && p.path == 1:
		return args[4]&atSymlinkFollow != 0
	case p.flags != 0 && args[p.flags]&p.nofollow != 0:
		return false
	}
	return p.follow
}
