package filter

import (
	"sort"
	"strconv"
	"strings"

	"cordon/policy/filter/tables"
)

// Decoded is a system call in readable form.
type Decoded struct {
	Arch Arch   // the ABI of the call; NoArch if it has no table
	Call string // "" if the number is in no table
	Args []string
}

// String returns the call with its arguments.
func (d *Decoded) String() string { return d.Call + "(" + strings.Join(d.Args, ", ") + ")" }

// Decode names a call and its arguments. It shows constants by name, and memory behind a pointer as "…". For a path it
// calls text, and shows the result in Go's quotes. text returns false if it does not know the path; text may be nil.
func Decode(d *Data, text func(addr uint64) (string, bool)) Decoded {
	abi, nr := abiNumber(d)
	id := numberID(abi, nr)
	if id == noCall {
		return Decoded{Arch: abi, Call: "syscall_" + strconv.Itoa(int(int32(nr))), Args: []string{"…"}}
	}
	out := Decoded{Arch: abi, Call: tables.CallNames[id]}
	i := 0
	for f := range strings.FieldsSeq(tables.CallArgs[id]) {
		if i == len(d.Args) {
			break
		}
		a := argument{call: out.Call, name: f[:len(f)-2], typ: f[len(f)-1], abi: abi, value: d.Args[i], all: d}
		out.Args = append(out.Args, a.text(text))
		i++
	}
	for n := len(out.Args); n > 1 && out.Args[n-1] == "…" && out.Args[n-2] == "…"; n-- {
		out.Args = out.Args[:n-1]
	}
	return out
}

// Constants returns, for each argument of a call, a mask of the bits that are constants such as flags. For other
// arguments, such as descriptors, sizes and addresses, the mask is 0. Calls with the same number, architecture and
// constants count as the same kind.
func Constants(audit uint32, nr int32) (mask [6]uint64) {
	abi, n := abiNumber(&Data{Nr: nr, Arch: audit})
	id := numberID(abi, n)
	if id == noCall {
		return mask
	}
	i := 0
	for f := range strings.FieldsSeq(tables.CallArgs[id]) {
		if i < len(mask) && familyOf(tables.CallNames[id], f[:len(f)-2]) != nil {
			mask[i] = widthMask(f[len(f)-1], abi)
		}
		i++
	}
	return mask
}

// abiNumber returns the ABI to whose table a call's number belongs, and the number in that table.
func abiNumber(d *Data) (Arch, uint32) {
	nr := uint32(d.Nr)
	for a := AMD64; a <= ARM; a++ {
		if a == X32 || a.Audit() != d.Arch {
			continue
		}
		if a == AMD64 && nr >= X32Bit && nr != 1<<32-1 {
			return X32, nr - X32Bit
		}
		return a, nr
	}
	return NoArch, nr
}

// argument is an argument of a call that Decode is about to show.
type argument struct {
	call, name string
	typ        byte // its type, as in tables.CallArgs
	abi        Arch
	value      uint64
	all        *Data
}

// widthMask returns a mask of the bits that the kernel reads of an argument of a type.
func widthMask(typ byte, abi Arch) uint64 {
	switch {
	case typ == 'h' || typ == 'o':
		return 1<<16 - 1
	case typ == 'i' || typ == 'u' || abi == I386 || abi == ARM:
		return 1<<32 - 1
	}
	return 1<<64 - 1
}

func (a *argument) text(read func(uint64) (string, bool)) string {
	v := a.value & widthMask(a.typ, a.abi)
	switch {
	case a.name == "nonce": // the nonce is a secret of the launcher
		return "…"
	case a.typ == 'p':
		return a.pointer(v, read)
	case a.name == "mode" && a.typ == 'h':
		return modeText(v, strings.HasPrefix(a.call, "mknod"))
	case a.name == "protocol":
		return a.protocol(v)
	}
	if f := familyOf(a.call, a.name); f != nil {
		return f.text(v, a.abi)
	}
	if strings.HasPrefix(a.name, "arg") { // the meaning depends on another argument
		return "…"
	}
	if a.typ == 'i' {
		return strconv.Itoa(int(int32(v)))
	}
	if v > 1<<24 {
		return hex64(v)
	}
	return strconv.FormatUint(v, 10)
}

func hex64(v uint64) string { return "0x" + strconv.FormatUint(v, 16) }

// paths lists the names of the arguments that point to text with a NUL at its end.
const paths = " pathname path filename oldpath newpath target linkpath special library from_path to_path new_root put_old source filesystemtype fs_name type description "

func (a *argument) pointer(v uint64, read func(uint64) (string, bool)) string {
	if v == 0 {
		return "NULL"
	}
	if read != nil && strings.Contains(paths, " "+a.name+" ") {
		if s, ok := read(v); ok {
			return strconv.Quote(s)
		}
	}
	return "…"
}

func modeText(v uint64, withType bool) string {
	if !withType {
		return "0" + strconv.FormatUint(v, 8)
	}
	for _, name := range [...]string{"S_IFIFO", "S_IFCHR", "S_IFBLK", "S_IFREG", "S_IFSOCK"} {
		if c, _ := constant(name, AMD64); c.Bits == v&0o170000 {
			return name + "|0" + strconv.FormatUint(v&0o7777, 8)
		}
	}
	return "0" + strconv.FormatUint(v, 8)
}

// protocol returns the text of the third argument of socket(2). The first argument decides what the third means.
func (a *argument) protocol(v uint64) string {
	var f *family
	switch uint32(a.all.Args[0]) {
	case 2, 10: // AF_INET, AF_INET6
		f = &family{names: "IPPROTO_IP$ IPPROTO_"}
	case 16: // AF_NETLINK
		f = &family{names: "NETLINK_ROUTE NETLINK_U NETLINK_FIREWALL NETLINK_SOCK_DIAG NETLINK_N NETLINK_X NETLINK_S NETLINK_I NETLINK_A NETLINK_FIB NETLINK_C NETLINK_D NETLINK_G NETLINK_E NETLINK_R"}
	default:
		return strconv.FormatUint(v, 10)
	}
	return f.text(v, a.abi)
}

// family lists the constants that an argument may be. Each word of names stands for all constants whose names begin
// with the word. If the word ends with a dollar sign, it stands for exactly that name. A minus sign before a word
// excludes the names that begin with it. If several constants fit, the earliest word decides.
type family struct {
	args  string // "call.arg", or ".arg" for every call
	names string
	flags uint64 // these bits are flags; the other bits together are one value
}

const allFlags = ^uint64(0)

const cloneFlagNames = "CLONE_ -CLONE_ARGS -CLONE_NEW_ANY"

// ioctlNames lists the requests of ioctl(2) by their families, terminals first.
const ioctlNames = "TC TIOC SIOC BLK FS_IOC_ FICLONE FIDEDUPERANGE LOOP_ TUN KD RND RTC_ SECCOMP_IOCTL -TCP_ -TIOCM_ -TIOCPKT_"

var families = [...]family{
	{" socket.family socketpair.family ", "AF_ -AF_MAX -AF_UNSPEC -AF_FILE -AF_ROUTE AF_UNSPEC$", 0},
	{" socket.type socketpair.type ", "SOCK_STREAM$ SOCK_DGRAM$ SOCK_RAW$ SOCK_RDM$ SOCK_SEQPACKET$ SOCK_DCCP$ SOCK_PACKET$ SOCK_CLOEXEC$ SOCK_NONBLOCK$", 0xfffffff0},
	{" socket.protocol socketpair.protocol ", "", 0}, // see protocol
	{" ioctl.cmd ", ioctlNames, 0},
	{" prctl.op ", "PR_SET_ PR_GET_ PR_CAPBSET_ PR_CAP_AMBIENT$ PR_MCE_KILL$ PR_MCE_KILL_GET$ PR_TASK_ PR_SVE_ PR_SME_ PR_PAC_ PR_SCHED_CORE$ PR_RISCV_ PR_FUTEX_HASH$ PR_MPX -PR_SET_MM_ -PR_SET_PTRACER_ANY -PR_SET_VMA_ANON", 0},
	{" keyctl.op ", "KEYCTL_ -KEYCTL_CAPS -KEYCTL_MOVE_EXCL -KEYCTL_SUPPORTS", 0},
	{" add_key.keyring request_key.dest_keyring ", "KEY_SPEC_", 0},
	{" bpf.cmd ", "BPF_MAP_CREATE$ BPF_MAP_LOOKUP_ELEM$ BPF_MAP_UPDATE_ELEM$ BPF_MAP_DELETE_ELEM$ BPF_MAP_GET_NEXT_KEY$ BPF_PROG_LOAD$ BPF_PROG_ATTACH$ BPF_PROG_DETACH$ BPF_OBJ_ BPF_PROG_TEST_RUN$ BPF_LINK_ BPF_BTF_ -BPF_LINK_TYPE", 0},
	{" ptrace.op ", "PTRACE_ -PTRACE_O_ -PTRACE_EVENT -PTRACE_CFI -PTRACE_SYSCALL_INFO -PTRACE_PEEKSIGINFO_SHARED", 0},
	{" open.flags openat.flags open_by_handle_at.flags mq_open.oflag ", "O_RDWR$ O_WRONLY$ O_RDONLY$ O_TMPFILE$ O_SYNC$ O_ -O_ACCMODE -O_LARGEFILE -O_FSYNC -O_RSYNC -O_NDELAY", ^uint64(3)},
	{" pipe2.flags dup3.flags ", "O_CLOEXEC$ O_NONBLOCK$ O_DIRECT$", allFlags},
	{" fcntl.cmd fcntl64.cmd ", "F_DUP F_GET F_SET F_OFD F_NOTIFY$ F_ADD_SEALS$ F_CREATED_QUERY$", 0},
	{" clone.flags ", cloneFlagNames + " SIG -SIG_", ^uint64(0xff)},
	{" unshare.flags setns.nstype ", cloneFlagNames, allFlags},
	{" .prot ", "PROT_", allFlags},
	{" mmap.flags mmap2.flags ", "MAP_SHARED$ MAP_PRIVATE$ MAP_SHARED_VALIDATE$ MAP_ANONYMOUS$ MAP_ -MAP_ANON -MAP_FILE -MAP_TYPE -MAP_HUGE_", ^uint64(0xf)},
	{" madvise.advice process_madvise.advice ", "MADV_", 0},
	{" mount.mountflags ", "MS_ -MS_ACTIVE -MS_BORN -MS_ASYNC -MS_INVALIDATE -MS_SYNC -MS_MGC -MS_RMT -MS_VERBOSE MS_SYNCHRONOUS$", allFlags},
	{" umount2.flags ", "MNT_DETACH$ MNT_EXPIRE$ MNT_FORCE$ UMOUNT_NOFOLLOW$", allFlags},
	{" open_tree.flags open_tree_attr.flags ", "OPEN_TREE_CLONE$ OPEN_TREE_CLOEXEC$ AT_EMPTY_PATH$ AT_RECURSIVE$ AT_NO_AUTOMOUNT$ AT_SYMLINK_NOFOLLOW$", allFlags},
	{" move_mount.flags ", "MOVE_MOUNT_", allFlags},
	{" fsopen.flags ", "FSOPEN_", allFlags}, {" fsmount.flags ", "FSMOUNT_", allFlags}, {" fspick.flags ", "FSPICK_", allFlags},
	{" fsconfig.cmd ", "FSCONFIG_", 0},
	{" .dirfd .olddirfd .newdirfd .from_dirfd .to_dirfd ", "AT_FDCWD$", 0},
	{" execveat.flags fchmodat2.flags fchownat.flags unlinkat.flags linkat.flags statx.flags mount_setattr.flags faccessat2.flags newfstatat.flags ", "AT_ -AT_FDCWD -AT_EACCESS -AT_STATX", allFlags},
	{" seccomp.operation ", "SECCOMP_SET_MODE_ SECCOMP_GET_", 0},
	{" seccomp.flags ", "SECCOMP_FILTER_FLAG_", allFlags},
	{" .sig ", "SIG -SIG_", 0},
	{" personality.persona ", "PER_LINUX$ PER_LINUX32$ PER_QUERY$ ADDR_NO_RANDOMIZE$ READ_IMPLIES_EXEC$", 0},
	{" arch_prctl.op ", "ARCH_", 0},
	{" .clk_id .clockid ", "CLOCK_", 0},
	{" .resource ", "RLIMIT_", 0},
	{" memfd_create.flags ", "MFD_ -MFD_HUGE_", allFlags},
	{" reboot.op ", "LINUX_REBOOT_CMD_", 0},
	{" syslog.type ", "SYSLOG_ACTION_", 0},
	{" perf_event_open.flags ", "PERF_FLAG_", allFlags},
	{" userfaultfd.flags ", "UFFD_USER_MODE_ONLY$ O_CLOEXEC$ O_NONBLOCK$", allFlags},
	{" setpriority.which getpriority.which ", "PRIO_", 0},
	{" getsockopt.level setsockopt.level ", "SOL_ IPPROTO_", 0},
	{" shutdown.how ", "SHUT_", 0},
}

func familyOf(call, arg string) *family {
	exact, any := " "+call+"."+arg+" ", " ."+arg+" "
	for i := range families {
		if f := &families[i]; strings.Contains(f.args, exact) || strings.Contains(f.args, any) {
			return f
		}
	}
	return nil
}

// text formats a value by names: one constant for the bits that are no flags, and each flag.
func (f *family) text(v uint64, abi Arch) string {
	rest := v & f.flags
	var found []string
	value := v &^ f.flags
	if name := f.find(abi, func(c uint64) bool { return c == value && c&f.flags == 0 }); name != "" && f.flags != allFlags {
		found, value = append(found, name), 0
	}
	for rest != 0 {
		name := f.find(abi, func(c uint64) bool { return c != 0 && c&^f.flags == 0 && c&rest == c })
		if name == "" {
			break
		}
		c, _ := constant(name, abi)
		rest &^= c.Bits & f.flags
		found = append(found, name)
	}
	rest |= value
	switch {
	case rest != 0 && f.flags == 0 && rest < 1<<16:
		found = append(found, strconv.FormatUint(rest, 10))
	case rest != 0:
		found = append(found, hex64(rest))
	case len(found) == 0:
		return f.zero(abi)
	}
	return strings.Join(found, "|")
}

// zero returns the text for 0: the name of the constant, if all bits are flags and there is one, otherwise "0".
func (f *family) zero(abi Arch) string {
	if name := f.find(abi, func(c uint64) bool { return c == 0 }); name != "" && f.flags == allFlags {
		return name
	}
	return "0"
}

// find returns the first name of the family on abi with the wanted value. Negative values are compared as 32 bits.
func (f *family) find(abi Arch, wanted func(uint64) bool) string {
	words := strings.Fields(f.names)
	for _, w := range words {
		if w[0] == '-' {
			continue
		}
		prefix, exact := strings.CutSuffix(w, "$")
		for i := sort.SearchStrings(tables.ConstNames[:], prefix); i < tables.NumConsts && strings.HasPrefix(tables.ConstNames[i], prefix); i++ {
			name := tables.ConstNames[i]
			if exact && name != prefix || !exact && excluded(words, name) {
				continue
			}
			c, ok := constant(name, abi)
			if c.Flags&2 != 0 {
				c.Bits &= 1<<32 - 1
			}
			if ok && wanted(c.Bits) {
				return name
			}
		}
	}
	return ""
}

func excluded(words []string, name string) bool {
	for _, w := range words {
		if w[0] == '-' && strings.HasPrefix(name, w[1:]) {
			return true
		}
	}
	return false
}
