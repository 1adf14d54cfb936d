package plan

// This file has the names that strace(1) prints, from the uapi headers of Linux 6.18.

const (
	cloneIntoCgroup = 1 << 33

	prAmbient = 47
	oCreat    = 0x40
	oAccess   = 3
)

func prctlArg(op uint64) Kind {
	switch op {
	case 1:
		return Signal
	case 24, 23:
		return Capability
	case 28:
		return SecureBits
	case prAmbient:
		return AmbientOp
	}
	return Int
}

type flagSet struct {
	flags []flag
	value bool // the value is one of the flags, not a combination
}

// flagSetOf has a switch instead of a map, so that a launch that prints nothing need not build a map.
func flagSetOf(k Kind) (flagSet, bool) {
	switch k {
	case AtFlags:
		return flagSet{atFlags[:], false}, true
	case CloneFlags:
		return flagSet{cloneFlags[:], false}, true
	case CloseRangeFlags:
		return flagSet{closeRangeFlags[:], false}, true
	case DupFlags, OpenFlags, OpenMode:
		return flagSet{openFlags[:], false}, true
	case FsopenFlags:
		return flagSet{fsopenFlags[:], true}, true
	case FsmountFlags:
		return flagSet{fsmountFlags[:], true}, true
	case FsconfigCmd:
		return flagSet{fsconfigCmds[:], true}, true
	case FsmountAttrs:
		return flagSet{mountAttrs[:], false}, true
	case Ioctl:
		return flagSet{ioctls[:], true}, true
	case KeyctlOp:
		return flagSet{keyctls[:], true}, true
	case MoveMountFlags:
		return flagSet{moveMountFlags[:], false}, true
	case MsgFlags:
		return flagSet{msgFlags[:], false}, true
	case OpenTreeFlags:
		return flagSet{openTreeFlags[:], false}, true
	case PrctlOp:
		return flagSet{prctls[:], true}, true
	case Resource:
		return flagSet{resources[:], true}, true
	case SeccompOp:
		return flagSet{seccompOps[:], true}, true
	case FutexOp:
		return flagSet{futexOps[:], true}, true
	case SeccompFlags:
		return flagSet{seccompFlags[:], false}, true
	case Signal:
		return flagSet{signals[:], true}, true
	case SigHow:
		return flagSet{sigHows[:], true}, true
	case UmountFlags:
		return flagSet{umountFlags[:], false}, true
	case RuleType:
		return flagSet{ruleTypes[:], true}, true
	case SecureBits:
		return flagSet{secureBits[:], false}, true
	case AmbientOp:
		return flagSet{ambientOps[:], true}, true
	case Who:
		return flagSet{whos[:], true}, true
	}
	return socketFlags(k)
}

// socketFlags does what flagSetOf does, for the arguments of calls about sockets.
func socketFlags(k Kind) (flagSet, bool) {
	switch k {
	case SocketDomain:
		return flagSet{domains[:], true}, true
	case SocketType:
		return flagSet{socketTypes[:], false}, true
	case SockProto:
		return flagSet{protos[:], true}, true
	case NetlinkProto:
		return flagSet{netlinks[:], true}, true
	case SockLevel:
		return flagSet{sockLevels[:], true}, true
	case SockOption:
		return flagSet{sockOptions[:], true}, true
	}
	return flagSet{}, false
}

var (
	atFlags    = [...]flag{{0x8000, "AT_RECURSIVE"}, {0x1000, "AT_EMPTY_PATH"}, {0x100, "AT_SYMLINK_NOFOLLOW"}}
	cloneFlags = [...]flag{{cloneParent, "CLONE_PARENT"}, {0x20000, "CLONE_NEWNS"}, {0x2000000, "CLONE_NEWCGROUP"}, {0x4000000, "CLONE_NEWUTS"}, {0x8000000, "CLONE_NEWIPC"},
		{0x10000000, "CLONE_NEWUSER"}, {0x20000000, "CLONE_NEWPID"}, {0x40000000, "CLONE_NEWNET"}, {0x80, "CLONE_NEWTIME"}, {0x1000, "CLONE_PIDFD"}, {cloneFiles, "CLONE_FILES"},
		{cloneParentSetTID, "CLONE_PARENT_SETTID"}, {cloneChildSetTID, "CLONE_CHILD_SETTID"}, {cloneIntoCgroup, "CLONE_INTO_CGROUP"}}
	closeRangeFlags = [...]flag{{2, "CLOSE_RANGE_UNSHARE"}, {4, "CLOSE_RANGE_CLOEXEC"}}
	openFlags       = [...]flag{{1, "O_WRONLY"}, {2, "O_RDWR"}, {0x40, "O_CREAT"}, {0x80, "O_EXCL"}, {0x100, "O_NOCTTY"}, {0x200, "O_TRUNC"},
		{0x400, "O_APPEND"}, {0x800, "O_NONBLOCK"}, {oNofollow, "O_NOFOLLOW"}, {0x80000, "O_CLOEXEC"}, {0x200000, "O_PATH"}, {oDirectory, "O_DIRECTORY"}}
	resolveFlags = [...]flag{{1, "RESOLVE_NO_XDEV"}, {2, "RESOLVE_NO_MAGICLINKS"}, {4, "RESOLVE_NO_SYMLINKS"}, {8, "RESOLVE_BENEATH"}, {16, "RESOLVE_IN_ROOT"}}
	mountAttrs   = [...]flag{{1, "MOUNT_ATTR_RDONLY"}, {2, "MOUNT_ATTR_NOSUID"}, {4, "MOUNT_ATTR_NODEV"}, {8, "MOUNT_ATTR_NOEXEC"},
		{0x200000, "MOUNT_ATTR_NOSYMFOLLOW"}, {0x100000, "MOUNT_ATTR_IDMAP"}}
	propagations   = [...]flag{{1 << 18, "MS_PRIVATE"}, {1 << 19, "MS_SLAVE"}, {1 << 20, "MS_SHARED"}, {1 << 17, "MS_UNBINDABLE"}}
	fsconfigCmds   = [...]flag{{0, "FSCONFIG_SET_FLAG"}, {1, "FSCONFIG_SET_STRING"}, {5, "FSCONFIG_SET_FD"}, {6, "FSCONFIG_CMD_CREATE"}}
	fsopenFlags    = [...]flag{{1, "FSOPEN_CLOEXEC"}}
	fsmountFlags   = [...]flag{{1, "FSMOUNT_CLOEXEC"}}
	ioctls         = [...]flag{{0x8914, "SIOCSIFFLAGS"}, {0x40045431, "TIOCSPTLCK"}, {0x5441, "TIOCGPTPEER"}, {0x540e, "TIOCSCTTY"}, {0x5410, "TIOCSPGRP"}}
	futexOps       = [...]flag{{futexWait, "FUTEX_WAIT"}, {futexWakeOp, "FUTEX_WAKE_OP"}, {futexLockPI, "FUTEX_LOCK_PI"}}
	keyctls        = [...]flag{{1, "KEYCTL_JOIN_SESSION_KEYRING"}}
	moveMountFlags = [...]flag{{4, "MOVE_MOUNT_F_EMPTY_PATH"}, {0x40, "MOVE_MOUNT_T_EMPTY_PATH"}}
	msgFlags       = [...]flag{{0x4000, "MSG_NOSIGNAL"}, {0x40000000, "MSG_CMSG_CLOEXEC"}}
	openTreeFlags  = [...]flag{{1, "OPEN_TREE_CLONE"}, {0x80000, "OPEN_TREE_CLOEXEC"}, {0x8000, "AT_RECURSIVE"}, {0x1000, "AT_EMPTY_PATH"}, {0x100, "AT_SYMLINK_NOFOLLOW"}}
	prctls         = [...]flag{{1, "PR_SET_PDEATHSIG"}, {4, "PR_SET_DUMPABLE"}, {15, "PR_SET_NAME"}, {24, "PR_CAPBSET_DROP"}, {28, "PR_SET_SECUREBITS"},
		{36, "PR_SET_CHILD_SUBREAPER"}, {38, "PR_SET_NO_NEW_PRIVS"}, {prAmbient, "PR_CAP_AMBIENT"}}
	resources = [...]flag{{0, "RLIMIT_CPU"}, {1, "RLIMIT_FSIZE"}, {2, "RLIMIT_DATA"}, {3, "RLIMIT_STACK"}, {4, "RLIMIT_CORE"}, {5, "RLIMIT_RSS"},
		{6, "RLIMIT_NPROC"}, {7, "RLIMIT_NOFILE"}, {8, "RLIMIT_MEMLOCK"}, {9, "RLIMIT_AS"}, {10, "RLIMIT_LOCKS"}, {11, "RLIMIT_SIGPENDING"},
		{12, "RLIMIT_MSGQUEUE"}, {13, "RLIMIT_NICE"}, {14, "RLIMIT_RTPRIO"}, {15, "RLIMIT_RTTIME"}}
	seccompFlags = [...]flag{{8, "SECCOMP_FILTER_FLAG_NEW_LISTENER"}, {0x20, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}}
	seccompOps   = [...]flag{{1, "SECCOMP_SET_MODE_FILTER"}}
	signals      = [...]flag{{9, "SIGKILL"}}
	sigHows      = [...]flag{{2, "SIG_SETMASK"}}
	domains      = [...]flag{{1, "AF_UNIX"}, {2, "AF_INET"}, {10, "AF_INET6"}, {16, "AF_NETLINK"}}
	socketTypes  = [...]flag{{3, "SOCK_RAW"}, {1, "SOCK_STREAM"}, {2, "SOCK_DGRAM"}, {0x80000, "SOCK_CLOEXEC"}}
	protos       = [...]flag{{0, "IPPROTO_IP"}}
	netlinks     = [...]flag{{NetlinkRoute, "NETLINK_ROUTE"}, {NetlinkNetfilter, "NETLINK_NETFILTER"}}
	sockLevels   = [...]flag{{0, "SOL_IP"}, {1, "SOL_SOCKET"}, {41, "SOL_IPV6"}}
	sockOptions  = [...]flag{{8, "IP_PKTINFO"}, {19, "IP_TRANSPARENT"}, {1<<16 | 33, "SO_RCVBUFFORCE"}, {41<<16 | 26, "IPV6_V6ONLY"},
		{41<<16 | 49, "IPV6_RECVPKTINFO"}, {41<<16 | 75, "IPV6_TRANSPARENT"}}
	umountFlags = [...]flag{{2, "MNT_DETACH"}}
	ruleTypes   = [...]flag{{1, "LANDLOCK_RULE_PATH_BENEATH"}}
	secureBits  = [...]flag{{1, "SECBIT_NOROOT"}, {2, "SECBIT_NOROOT_LOCKED"}, {4, "SECBIT_NO_SETUID_FIXUP"}, {8, "SECBIT_NO_SETUID_FIXUP_LOCKED"},
		{16, "SECBIT_KEEP_CAPS"}, {32, "SECBIT_KEEP_CAPS_LOCKED"}, {64, "SECBIT_NO_CAP_AMBIENT_RAISE"}, {128, "SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED"}}
	ambientOps = [...]flag{{2, "PR_CAP_AMBIENT_RAISE"}, {4, "PR_CAP_AMBIENT_CLEAR_ALL"}}
	whos       = [...]flag{{0, "PRIO_PROCESS"}}
	linkFlags  = [...]flag{{1, "IFF_UP"}}
	accessFS   = [...]flag{{1 << 0, "LANDLOCK_ACCESS_FS_EXECUTE"}, {1 << 1, "LANDLOCK_ACCESS_FS_WRITE_FILE"}, {1 << 2, "LANDLOCK_ACCESS_FS_READ_FILE"},
		{1 << 3, "LANDLOCK_ACCESS_FS_READ_DIR"}, {1 << 4, "LANDLOCK_ACCESS_FS_REMOVE_DIR"}, {1 << 5, "LANDLOCK_ACCESS_FS_REMOVE_FILE"},
		{1 << 6, "LANDLOCK_ACCESS_FS_MAKE_CHAR"}, {1 << 7, "LANDLOCK_ACCESS_FS_MAKE_DIR"}, {1 << 8, "LANDLOCK_ACCESS_FS_MAKE_REG"},
		{1 << 9, "LANDLOCK_ACCESS_FS_MAKE_SOCK"}, {1 << 10, "LANDLOCK_ACCESS_FS_MAKE_FIFO"}, {1 << 11, "LANDLOCK_ACCESS_FS_MAKE_BLOCK"},
		{1 << 12, "LANDLOCK_ACCESS_FS_MAKE_SYM"}, {1 << 13, "LANDLOCK_ACCESS_FS_REFER"}, {1 << 14, "LANDLOCK_ACCESS_FS_TRUNCATE"},
		{1 << 15, "LANDLOCK_ACCESS_FS_IOCTL_DEV"}, {1 << 16, "LANDLOCK_ACCESS_FS_RESOLVE_UNIX"}}
	accessNet = [...]flag{{1, "LANDLOCK_ACCESS_NET_BIND_TCP"}, {2, "LANDLOCK_ACCESS_NET_CONNECT_TCP"}}
	scopes    = [...]flag{{1, "LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET"}, {2, "LANDLOCK_SCOPE_SIGNAL"}}
	errnos    = [...]flag{{1, "EPERM"}, {2, "ENOENT"}, {3, "ESRCH"}, {9, "EBADF"}, {11, "EAGAIN"}, {12, "ENOMEM"}, {13, "EACCES"}, {17, "EEXIST"}, {22, "EINVAL"}, {30, "EROFS"}, {38, "ENOSYS"}, {95, "EOPNOTSUPP"}, {110, "ETIMEDOUT"}}
	capNames  = [...]string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
		"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
		"CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
		"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON",
		"CAP_BPF", "CAP_CHECKPOINT_RESTORE"}
)
