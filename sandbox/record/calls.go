package record

// Which arguments of which calls are paths: syscalls(2) and the pages of each.

import "cordon/policy/filter"

// access is what a call asks of a path.
type access uint16

const (
	aRead access = 1 << iota
	aWrite
	aExec
	aStat   // looks at it, or passes through
	aCreate // makes it
	aRemove
	aChange // its mode, owner, times or attributes
	aDir    // the whole directory is meant: it is listed or entered
)

// noFD stands for a call that has no directory argument.
const noFD = -1

// pathArg is one path among the arguments of a call.
type pathArg struct {
	call      string
	dir, path int // indices of the arguments; dir may be noFD
	want      access
	flags     int    // the argument that decides whether a link at the end is followed; 0 for none
	nofollow  uint64 // its bit that says no
	follow    bool   // without that bit
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
	{"openat2", 0, 1, 0, 0, 0, true}, // its flags are behind a pointer
	{"creat", noFD, 0, aWrite | aCreate, 0, 0, true},
	{"execve", noFD, 0, aExec, 0, 0, true},
	{"execveat", 0, 1, aExec, 4, atSymlinkNofollow, true},
	{"stat", noFD, 0, aStat, 0, 0, true},
	{"stat64", noFD, 0, aStat, 0, 0, true},
	{"lstat", noFD, 0, aStat, 0, 0, false},
	{"lstat64", noFD, 0, aStat, 0, 0, false},
	{"newfstatat", 0, 1, aStat, 3, atSymlinkNofollow, true},
	{"fstatat64", 0, 1, aStat, 3, atSymlinkNofollow, true},
	{"statx", 0, 1, aStat, 2, atSymlinkNofollow, true},
	{"access", noFD, 0, aStat, 0, 0, true},
	{"faccessat", 0, 1, aStat, 0, 0, true},
	{"faccessat2", 0, 1, aStat, 3, atSymlinkNofollow, true},
	{"readlink", noFD, 0, aStat, 0, 0, false},
	{"readlinkat", 0, 1, aStat, 0, 0, false},
	{"statfs", noFD, 0, aStat, 0, 0, true},
	{"statfs64", noFD, 0, aStat, 0, 0, true},
	{"chdir", noFD, 0, aStat, 0, 0, true},
	{"chroot", noFD, 0, aStat, 0, 0, true},
	{"name_to_handle_at", 0, 1, aStat, 0, 0, false},
	{"inotify_add_watch", noFD, 1, aRead, 0, 0, true},
	{"fanotify_mark", 3, 4, aRead, 0, 0, true},
	{"truncate", noFD, 0, aWrite, 0, 0, true},
	{"truncate64", noFD, 0, aWrite, 0, 0, true},
	{"mkdir", noFD, 0, aCreate, 0, 0, false},
	{"mkdirat", 0, 1, aCreate, 0, 0, false},
	{"mknod", noFD, 0, aCreate, 0, 0, false},
	{"mknodat", 0, 1, aCreate, 0, 0, false},
	{"symlink", noFD, 1, aCreate, 0, 0, false},
	{"symlinkat", 1, 2, aCreate, 0, 0, false},
	{"link", noFD, 0, aRead, 0, 0, false},
	{"link", noFD, 1, aCreate, 0, 0, false},
	{"linkat", 0, 1, aRead, 4, 0, false},
	{"linkat", 2, 3, aCreate, 0, 0, false},
	{"rename", noFD, 0, aRemove, 0, 0, false},
	{"rename", noFD, 1, aCreate, 0, 0, false},
	{"renameat", 0, 1, aRemove, 0, 0, false},
	{"renameat", 2, 3, aCreate, 0, 0, false},
	{"renameat2", 0, 1, aRemove, 0, 0, false},
	{"renameat2", 2, 3, aCreate, 0, 0, false},
	{"rmdir", noFD, 0, aRemove, 0, 0, false},
	{"unlink", noFD, 0, aRemove, 0, 0, false},
	{"unlinkat", 0, 1, aRemove, 0, 0, false},
	{"chmod", noFD, 0, aChange, 0, 0, true},
	{"fchmodat", 0, 1, aChange, 0, 0, true},
	{"fchmodat2", 0, 1, aChange, 3, atSymlinkNofollow, true},
	{"chown", noFD, 0, aChange, 0, 0, true},
	{"chown32", noFD, 0, aChange, 0, 0, true},
	{"lchown", noFD, 0, aChange, 0, 0, false},
	{"lchown32", noFD, 0, aChange, 0, 0, false},
	{"fchownat", 0, 1, aChange, 4, atSymlinkNofollow, true},
	{"utime", noFD, 0, aChange, 0, 0, true},
	{"utimes", noFD, 0, aChange, 0, 0, true},
	{"futimesat", 0, 1, aChange, 0, 0, true},
	{"utimensat", 0, 1, aChange, 3, atSymlinkNofollow, true},
	{"utimensat_time64", 0, 1, aChange, 3, atSymlinkNofollow, true},
	{"setxattr", noFD, 0, aChange, 0, 0, true},
	{"lsetxattr", noFD, 0, aChange, 0, 0, false},
	{"setxattrat", 0, 1, aChange, 2, atSymlinkNofollow, true},
	{"removexattr", noFD, 0, aChange, 0, 0, true},
	{"lremovexattr", noFD, 0, aChange, 0, 0, false},
	{"removexattrat", 0, 1, aChange, 2, atSymlinkNofollow, true},
	{"getxattr", noFD, 0, aStat, 0, 0, true},
	{"lgetxattr", noFD, 0, aStat, 0, 0, false},
	{"getxattrat", 0, 1, aStat, 2, atSymlinkNofollow, true},
	{"listxattr", noFD, 0, aStat, 0, 0, true},
	{"llistxattr", noFD, 0, aStat, 0, 0, false},
	{"listxattrat", 0, 1, aStat, 2, atSymlinkNofollow, true},
	{"mount", noFD, 1, aDir, 0, 0, true},
	{"umount", noFD, 0, aDir, 0, 0, true},
	{"umount2", noFD, 0, aDir, 0, 0, true},
	{"pivot_root", noFD, 0, aDir, 0, 0, true},
	{"pivot_root", noFD, 1, aDir, 0, 0, true},
	{"open_tree", 0, 1, aStat, 0, 0, true},
	{"move_mount", 2, 3, aDir, 0, 0, true},
	{"mount_setattr", 0, 1, aChange, 0, 0, true},
	{"swapon", noFD, 0, aRead | aWrite, 0, 0, true},
	{"swapoff", noFD, 0, aStat, 0, 0, true},
	{"acct", noFD, 0, aWrite, 0, 0, true},
	{"uselib", noFD, 0, aExec, 0, 0, true},
}

// addrArg is a socket address among the arguments: struct sockaddr and its length.
type addrArg struct {
	call      string
	addr, len int
	what      string
}

var addrArgs = [...]addrArg{
	{"connect", 1, 2, "connect"},
	{"bind", 1, 2, "bind"},
	{"sendto", 4, 5, "connect"},
}

// The flags of open(2) that say what is asked; the same on every architecture here but oDirectory and oNofollow.
const (
	oAccmode = 3
	oWronly  = 1
	oRdwr    = 2
	oCreat   = 0x40
	oTrunc   = 0x200
	oPath    = 0x200000
)

// opens is what the flags of open(2) ask.
func opens(flags uint64) (a access) {
	switch {
	case flags&oPath != 0:
		return aStat
	case flags&oAccmode == oWronly:
		a = aWrite
	case flags&oAccmode == oRdwr:
		a = aRead | aWrite
	case flags&oAccmode == 3:
		a = aRead | aWrite // for ioctl alone, and checked as both
	default:
		a = aRead
	}
	if flags&oCreat != 0 || flags&oTmpfileBit != 0 {
		a |= aCreate
	}
	if flags&oTrunc != 0 {
		a |= aWrite
	}
	if flags&oDirectory != 0 && flags&oTmpfileBit == 0 {
		a |= aDir
	}
	return a
}

// openFlags is the argument that holds open's flags; noFD where there is none.
func openFlags(call string) int {
	switch call {
	case "open":
		return 1
	case "openat":
		return 2
	}
	return noFD
}

// call is what is to be done about a number.
type call struct {
	arch  filter.Arch
	name  string // "" if the number is in no table
	mask  [6]uint64
	paths []pathArg
	addr  *addrArg
}

// lookup finds that out.
func lookup(audit uint32, nr int32) *call {
	d := filter.Decode(&filter.Data{Nr: nr, Arch: audit}, nil)
	c := &call{arch: d.Arch, name: d.Call, mask: filter.Constants(audit, nr)}
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

// follows reports whether a link at the end of the path is followed.
func (p *pathArg) follows(args *[6]uint64) bool {
	switch {
	case p.call == "linkat" && p.path == 1:
		return args[4]&atSymlinkFollow != 0
	case p.flags != 0 && args[p.flags]&p.nofollow != 0:
		return false
	}
	return p.follow
}
