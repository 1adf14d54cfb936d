package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log"
	"maps"
	"math/big"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// values has a constant's value for each architecture, in the order of arches. It is nil for an architecture that lacks
// the constant.
type values [5]*big.Int

// prefixes lists the families of constants that arguments can hold, by the beginnings of their names.
var prefixes = strings.Fields(`AF_ PF_ SOCK_ SOL_ SO_ IPPROTO_ IP_ IPV6_ TCP_ UDP_ MSG_ SHUT_ NETLINK_ SCM_
	CLONE_ PROT_ MAP_ MADV_ MAP MREMAP_ MCL_ MLOCK_ MS_ MFD_ MPOL_ PKEY_ MNT_ UMOUNT_ OPEN_TREE_ MOVE_MOUNT_ FSOPEN_ FSMOUNT_ FSCONFIG_ FSPICK_ MOUNT_ATTR_
	O_ AT_ F_ FD_ S_I RESOLVE_ RENAME_ RWF_ STATX_ XATTR_ LOCK_ SEEK_ FALLOC_FL_ POSIX_FADV_ FADV_ SYNC_FILE_RANGE_ SPLICE_F_ GRND_ R_OK W_OK X_OK F_OK
	TIOC TC FIO BLK FS_IOC_ FICLONE FIDEDUPERANGE LOOP_ TUN SIOC KD VT_ RND RTC_ SG_ UI_ PPP PTP_ USBDEVFS_ WDIOC HDIO_ VIRT_
	PR_ PTRACE_ PER_ ADDR_ SECCOMP_ LANDLOCK_ BPF_MAP_ BPF_PROG_ BPF_LINK_ BPF_BTF_ BPF_OBJ_ BPF_ITER_ BPF_ENABLE_ BPF_TOKEN_ BPF_RAW_TRACEPOINT_ PERF_FLAG_
	FUTEX FUTEX_ KEYCTL_ KEY_SPEC_ KEY_REQKEY_ EPOLL EFD_ SFD_ TFD_ IN_ FAN_ ITIMER_ CLOCK_ TIMER_ RLIMIT_ RUSAGE_ PRIO_ SCHED_ IOPRIO_
	W P_ SIG SA_ SS_ E LINUX_REBOOT_ MEMBARRIER_ IPC_ SHM_ SEM_ ARCH_ CLOSE_RANGE_ PIDFD_ RSEQ_ UFFD_ USER_ SYSLOG_ACTION_ SWAP_ Q_ MODULE_INIT_ CAP_`)

// extra has constants of the kernel's headers that x/sys does not have, or for which it has the C library's value.
var extra = map[string]string{
	"CLONE_NEW_ANY": "0x7e020080", // all CLONE_NEW* flags together, including CLONE_NEWTIME
	// linux/personality.h
	"PER_LINUX": "0", "PER_LINUX32": "8", "PER_LINUX32_3GB": "0x8000008", "PER_MASK": "0xff", "PER_QUERY": "0xffffffff",
	"UNAME26": "0x20000", "ADDR_NO_RANDOMIZE": "0x40000", "FDPIC_FUNCPTRS": "0x80000", "MMAP_PAGE_ZERO": "0x100000",
	"ADDR_COMPAT_LAYOUT": "0x200000", "READ_IMPLIES_EXEC": "0x400000", "ADDR_LIMIT_32BIT": "0x800000",
	"SHORT_INODE": "0x1000000", "WHOLE_SECONDS": "0x2000000", "STICKY_TIMEOUTS": "0x4000000", "ADDR_LIMIT_3GB": "0x8000000",
	// linux/futex.h
	"FUTEX_WAIT": "0", "FUTEX_WAKE": "1", "FUTEX_FD": "2", "FUTEX_REQUEUE": "3", "FUTEX_CMP_REQUEUE": "4", "FUTEX_WAKE_OP": "5",
	"FUTEX_LOCK_PI": "6", "FUTEX_UNLOCK_PI": "7", "FUTEX_TRYLOCK_PI": "8", "FUTEX_WAIT_BITSET": "9", "FUTEX_WAKE_BITSET": "10",
	"FUTEX_WAIT_REQUEUE_PI": "11", "FUTEX_CMP_REQUEUE_PI": "12", "FUTEX_LOCK_PI2": "13", "FUTEX_PRIVATE_FLAG": "128",
	"FUTEX_CLOCK_REALTIME": "256", "FUTEX_CMD_MASK": "-385",
	// linux/shm.h, linux/mman.h, linux/mempolicy.h
	"SHM_RDONLY": "0x1000", "SHM_RND": "0x2000", "SHM_REMAP": "0x4000", "SHM_EXEC": "0x8000", "SHM_HUGETLB": "0x800", "SHM_NORESERVE": "0x1000",
	// linux/sched.h, linux/ioprio.h
	"SCHED_OTHER": "0", "SCHED_FIFO": "1", "SCHED_RR": "2", "SCHED_BATCH": "3", "SCHED_IDLE": "5", "SCHED_DEADLINE": "6", "SCHED_EXT": "7",
	"SCHED_RESET_ON_FORK": "0x40000000", "IOPRIO_WHO_PROCESS": "1", "IOPRIO_WHO_PGRP": "2", "IOPRIO_WHO_USER": "3",
	// linux/fcntl.h
	"AT_EXECVE_CHECK": "0x10000", "F_GETLK": "5", "F_SETLK": "6", "F_SETLKW": "7", "F_GETLK64": "12", "F_SETLK64": "13", "F_SETLKW64": "14",
	// linux/tty: drivers/tty/vt, asm-generic/ioctls.h
	"TIOCLINUX": "0x541c", "TIOCSTI": "0x5412", "KDSETMODE": "0x4b3a", "KDSKBMODE": "0x4b45", "KDSKBENT": "0x4b47",
	// asm/prctl.h
	"ARCH_SET_GS": "0x1001", "ARCH_SET_FS": "0x1002", "ARCH_GET_FS": "0x1003", "ARCH_GET_GS": "0x1004",
	"ARCH_GET_CPUID": "0x1011", "ARCH_SET_CPUID": "0x1012", "ARCH_CET_STATUS": "0x3001",
	"ARCH_SHSTK_ENABLE": "0x5001", "ARCH_SHSTK_DISABLE": "0x5002", "ARCH_SHSTK_LOCK": "0x5003", "ARCH_SHSTK_UNLOCK": "0x5004", "ARCH_SHSTK_STATUS": "0x5005",
	// linux/membarrier.h
	"MEMBARRIER_CMD_QUERY": "0", "MEMBARRIER_CMD_GLOBAL": "1", "MEMBARRIER_CMD_GLOBAL_EXPEDITED": "2",
	"MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED": "4", "MEMBARRIER_CMD_PRIVATE_EXPEDITED": "8",
	"MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED": "16", "MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE": "32",
	"MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE": "64", "MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ": "128",
	"MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ": "256", "MEMBARRIER_CMD_GET_REGISTRATIONS": "512",
	// syslog(2)
	"SYSLOG_ACTION_CLOSE": "0", "SYSLOG_ACTION_OPEN": "1", "SYSLOG_ACTION_READ": "2", "SYSLOG_ACTION_READ_ALL": "3",
	"SYSLOG_ACTION_READ_CLEAR": "4", "SYSLOG_ACTION_CLEAR": "5", "SYSLOG_ACTION_CONSOLE_OFF": "6", "SYSLOG_ACTION_CONSOLE_ON": "7",
	"SYSLOG_ACTION_CONSOLE_LEVEL": "8", "SYSLOG_ACTION_SIZE_UNREAD": "9", "SYSLOG_ACTION_SIZE_BUFFER": "10",
	// sys/socket.h, linux/wait.h, unistd.h
	"SHUT_RD": "0", "SHUT_WR": "1", "SHUT_RDWR": "2", "R_OK": "4", "W_OK": "2", "X_OK": "1", "F_OK": "0",
	"P_ALL": "0", "P_PID": "1", "P_PGID": "2", "P_PIDFD": "3", "SEEK_SET": "0", "SEEK_CUR": "1", "SEEK_END": "2", "SEEK_DATA": "3", "SEEK_HOLE": "4",
	"SIG_BLOCK": "0", "SIG_UNBLOCK": "1", "SIG_SETMASK": "2",
	// linux/ipc.h, linux/sem.h
	"IPC_RMID": "0", "IPC_SET": "1", "IPC_STAT": "2", "IPC_INFO": "3", "IPC_CREAT": "0x200", "IPC_EXCL": "0x400", "IPC_NOWAIT": "0x800", "IPC_PRIVATE": "0",
	// asm-generic/ioctls.h, linux/kd.h, linux/vt.h, linux/perf_event.h, linux/nsfs.h, scsi/sg.h, linux/userfaultfd.h, linux/kvm.h
	"FIONREAD": "0x541b", "FIONBIO": "0x5421", "FIOCLEX": "0x5451", "FIONCLEX": "0x5450", "FIOASYNC": "0x5452",
	"KDGETLED": "0x4b31", "KDSETLED": "0x4b32", "VT_ACTIVATE": "0x5606", "VT_WAITACTIVE": "0x5607",
	"PERF_EVENT_IOC_ENABLE": "0x2400", "PERF_EVENT_IOC_DISABLE": "0x2401", "PERF_EVENT_IOC_RESET": "0x2403",
	"NS_GET_USERNS": "0xb701", "NS_GET_PARENT": "0xb702", "NS_GET_NSTYPE": "0xb703", "NS_GET_OWNER_UID": "0xb704",
	"SG_IO": "0x2285", "CDROMEJECT": "0x5309", "UFFDIO_API": "0xc018aa3f", "KVM_RUN": "0xae80",
	// linux/net.h: socketcall
	"SYS_SOCKET": "1", "SYS_BIND": "2", "SYS_CONNECT": "3", "SYS_LISTEN": "4", "SYS_ACCEPT": "5", "SYS_GETSOCKNAME": "6",
	"SYS_GETPEERNAME": "7", "SYS_SOCKETPAIR": "8", "SYS_SEND": "9", "SYS_RECV": "10", "SYS_SENDTO": "11", "SYS_RECVFROM": "12",
	"SYS_SHUTDOWN": "13", "SYS_SETSOCKOPT": "14", "SYS_GETSOCKOPT": "15", "SYS_SENDMSG": "16", "SYS_RECVMSG": "17",
	"SYS_ACCEPT4": "18", "SYS_RECVMMSG": "19", "SYS_SENDMMSG": "20", "SOCK_TYPE_MASK": "0xf",
	// linux/ipc.h: ipc
	"SEMOP": "1", "SEMGET": "2", "SEMCTL": "3", "SEMTIMEDOP": "4", "MSGSND": "11", "MSGRCV": "12", "MSGGET": "13",
	"MSGCTL": "14", "SHMAT": "21", "SHMDT": "22", "SHMGET": "23", "SHMCTL": "24",
	// linux/sem.h, linux/shm.h, linux/msg.h
	"SEM_UNDO": "0x1000", "GETPID": "11", "GETVAL": "12", "GETALL": "13", "GETNCNT": "14", "GETZCNT": "15", "SETVAL": "16",
	"SETALL": "17", "SEM_STAT": "18", "SEM_INFO": "19", "SEM_STAT_ANY": "20", "SHM_LOCK": "11", "SHM_UNLOCK": "12",
	"SHM_STAT": "13", "SHM_INFO": "14", "SHM_STAT_ANY": "15", "MSG_STAT": "11", "MSG_INFO": "12", "MSG_STAT_ANY": "13",
	"MSG_NOERROR": "0x1000", "MSG_EXCEPT": "0x2000", "MSG_COPY": "0x4000",
	// linux/kexec.h, linux/swap.h, linux/rseq.h, linux/kcmp.h, linux/fadvise.h, asm-generic/mman-common.h
	"KEXEC_ON_CRASH": "1", "KEXEC_PRESERVE_CONTEXT": "2", "KEXEC_FILE_UNLOAD": "1", "KEXEC_FILE_ON_CRASH": "2",
	"KEXEC_FILE_NO_INITRAMFS": "4", "SWAP_FLAG_PREFER": "0x8000", "SWAP_FLAG_DISCARD": "0x10000", "RSEQ_FLAG_UNREGISTER": "1",
	"KCMP_FILE": "0", "KCMP_VM": "1", "KCMP_FILES": "2", "KCMP_FS": "3", "KCMP_SIGHAND": "4", "KCMP_IO": "5",
	"KCMP_SYSVSEM": "6", "KCMP_EPOLL_TFD": "7", "POSIX_FADV_NORMAL": "0", "POSIX_FADV_RANDOM": "1",
	"POSIX_FADV_SEQUENTIAL": "2", "POSIX_FADV_WILLNEED": "3", "POSIX_FADV_DONTNEED": "4", "POSIX_FADV_NOREUSE": "5",
	"PKEY_DISABLE_ACCESS": "1", "PKEY_DISABLE_WRITE": "2",
	// linux/io_uring.h, linux/futex.h, linux/ioprio.h, linux/quota.h
	"IORING_ENTER_GETEVENTS": "1", "IORING_ENTER_SQ_WAKEUP": "2", "IORING_ENTER_SQ_WAIT": "4", "IORING_ENTER_EXT_ARG": "8",
	"IORING_REGISTER_BUFFERS": "0", "IORING_UNREGISTER_BUFFERS": "1", "IORING_REGISTER_FILES": "2",
	"IORING_UNREGISTER_FILES": "3", "IORING_REGISTER_EVENTFD": "4", "IORING_UNREGISTER_EVENTFD": "5",
	"IORING_REGISTER_PROBE": "8", "IORING_REGISTER_PERSONALITY": "9", "IORING_REGISTER_RESTRICTIONS": "11",
	"IORING_REGISTER_ENABLE_RINGS": "12", "FUTEX2_SIZE_U8": "0", "FUTEX2_SIZE_U16": "1", "FUTEX2_SIZE_U32": "2",
	"FUTEX2_SIZE_U64": "3", "FUTEX2_NUMA": "4", "FUTEX2_PRIVATE": "128", "IOPRIO_CLASS_SHIFT": "13", "IOPRIO_CLASS_RT": "1",
	"IOPRIO_CLASS_BE": "2", "IOPRIO_CLASS_IDLE": "3", "Q_SYNC": "0x800001", "Q_QUOTAON": "0x800002", "Q_QUOTAOFF": "0x800003",
	"Q_GETFMT": "0x800004", "Q_GETINFO": "0x800005", "Q_SETINFO": "0x800006", "Q_GETQUOTA": "0x800007",
	"Q_SETQUOTA": "0x800008",
	// linux/userfaultfd.h
	"UFFD_USER_MODE_ONLY": "1",
}

// perArch has constants that differ between architectures and whose kernel value is not in x/sys. The values are for
// amd64, arm64, riscv64, 386 and arm.
var perArch = map[string][5]int64{
	"O_LARGEFILE": {0x8000, 0x20000, 0x8000, 0x8000, 0x20000},
}

func constants(unix string) []byte {
	all := map[string]*values{}
	for i, a := range arches {
		for _, f := range []string{"zerrors_linux.go", "zerrors_linux_" + a.goarch + ".go", "ztypes_linux.go", "ztypes_linux_" + a.goarch + ".go"} {
			readConsts(filepath.Join(unix, f), i, all)
		}
	}
	for n, s := range extra {
		v, ok := new(big.Int).SetString(s, 0)
		if !ok {
			log.Fatalf("%s: value %s", n, s)
		}
		all[n] = &values{v, v, v, v, v}
	}
	for n, s := range perArch {
		all[n] = &values{}
		for i, x := range s {
			all[n][i] = big.NewInt(x)
		}
	}
	return writeConsts(all)
}

func readConsts(file string, arch int, all map[string]*values) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			spec := s.(*ast.ValueSpec)
			if len(spec.Values) != 1 || !wanted(spec.Names[0].Name) {
				continue
			}
			n := spec.Names[0].Name
			if v := eval(spec.Values[0]); v != nil && (n[0] != 'E' || isErrno(spec.Values[0]) || strings.Contains(n, "_")) {
				if all[n] == nil {
					all[n] = &values{}
				}
				all[n][arch] = v
			}
		}
	}
}

func wanted(name string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool {
		if p == "E" || p == "W" {
			return strings.HasPrefix(name, p) && !strings.Contains(name, "_") && name != "WORDSIZE"
		}
		return strings.HasPrefix(name, p)
	})
}

// eval returns the value of an expression. It knows the forms in the generated files: a number, -number and
// syscall.Errno(number). It returns nil for any other expression.
func eval(e ast.Expr) *big.Int {
	switch e := e.(type) {
	case *ast.BasicLit:
		if v, ok := new(big.Int).SetString(e.Value, 0); ok && e.Kind == token.INT {
			return v
		}
	case *ast.UnaryExpr:
		if v := eval(e.X); v != nil && e.Op == token.SUB {
			return v.Neg(v)
		}
	case *ast.CallExpr:
		if len(e.Args) == 1 {
			return eval(e.Args[0])
		}
	}
	return nil
}

// isErrno reports whether e is syscall.Errno(number). Other constants whose names begin with E are not error numbers.
func isErrno(e ast.Expr) bool {
	c, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := c.Fun.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "Errno"
}

func writeConsts(all map[string]*values) []byte {
	names := make([]string, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	sort.Strings(names)
	var b, vals, byArch bytes.Buffer
	b.WriteString("// Code generated by gen from golang.org/x/sys/unix and gen/*.txt; DO NOT EDIT.\n\npackage tables\n\n")
	fmt.Fprintf(&b, "const NumConsts = %d\n\n// ConstNames is sorted; ConstValues follows it.\nvar ConstNames = [NumConsts]string{\n", len(names))
	for i, n := range names {
		fmt.Fprintf(&b, "%q,\n", n)
		v, same := all[n], true
		for _, x := range v {
			same = same && x != nil && v[0] != nil && x.Cmp(v[0]) == 0
		}
		if same {
			fmt.Fprintf(&vals, "%s, // %s\n", literal(v[0]), n)
			continue
		}
		fmt.Fprintf(&vals, "{}, // %s: by architecture\n", n)
		fmt.Fprintf(&byArch, "{%d, [5]ConstValue{", i)
		for _, x := range v {
			fmt.Fprintf(&byArch, "%s,", literal(x))
		}
		fmt.Fprintf(&byArch, "}}, // %s\n", n)
	}
	fmt.Fprintf(&b, "}\n\nvar ConstValues = [NumConsts]ConstValue{\n%s}\n\n", vals.Bytes())
	fmt.Fprintf(&b, "// ConstByArch has the constants that differ: amd64, arm64, riscv64, i386, arm. Sorted by index in ConstNames.\n"+
		"var ConstByArch = [...]ArchConst{\n%s}\n\n", byArch.Bytes())
	errnos(&b, all)
	return b.Bytes()
}

// literal returns {v, flags}: the value's 64 bits, and whether the value exists and is negative.
func literal(v *big.Int) string {
	if v == nil {
		return "{0, 0}"
	}
	if v.Sign() < 0 {
		return fmt.Sprintf("{%#x, 3}", uint64(v.Int64()))
	}
	return fmt.Sprintf("{%#x, 1}", v.Uint64())
}

func errnos(b *bytes.Buffer, all map[string]*values) {
	byNr := map[int64]string{}
	max := int64(0)
	for _, n := range slices.Sorted(maps.Keys(all)) {
		v := all[n]
		if n[0] != 'E' || strings.Contains(n, "_") || v[0] == nil || v[0].Int64() > 4095 || strings.HasPrefix(n, "EPOLL") {
			continue
		}
		x := v[0].Int64()
		if old := byNr[x]; old == "" || n == "EAGAIN" || n == "EDEADLK" || n == "EOPNOTSUPP" {
			byNr[x] = n
		}
		if x > max && x < 200 {
			max = x
		}
	}
	fmt.Fprintf(b, "// ErrnoNames are the same on all our architectures.\nvar ErrnoNames = [%d]string{\n", max+1)
	for i := int64(1); i <= max; i++ {
		if n := byNr[i]; n != "" {
			fmt.Fprintf(b, "%d: %q,\n", i, n)
		}
	}
	b.WriteString("}\n")
}
