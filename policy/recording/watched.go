package recording

// A Gate is one argument of a call, and those of its bits that matter to a profile.
type Gate struct {
	Call string // as package filter names it
	Arg  string // as rules name it
	Reg  int    // its register, 0..5; -1-n for the n-th eight-byte word, from 0, behind Pointer
	Mask uint64
}

// low masks the part of a register that the kernel reads for an int.
const low = 0xffffffff

// oMode has the flags of open(2) that decide what the call does: access mode, O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY,
// O_NOFOLLOW, O_PATH, O_TMPFILE. On arm and arm64, O_DIRECTORY and O_NOFOLLOW have other values (0x4000, 0x8000), so
// oMode has these bits too.
const oMode = 0x3 | 0x40 | 0x80 | 0x200 | 0x10000 | 0x20000 | 0x4000 | 0x8000 | 0x200000 | 0x400000

// mProt has PROT_READ, PROT_WRITE and PROT_EXEC. mFlags has MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS,
// MAP_HUGETLB and MAP_FIXED_NOREPLACE.
const (
	mProt  = 0x7
	mFlags = 0x3 | 0x10 | 0x20 | 0x40000 | 0x100000
)

// Watched lists the arguments that a recorder keeps. Programs use few different values of them, and the values decide
// what the call does. The list is sorted by call, then by register.
//
// For clone, a recorder keeps the flags without the signal number in the low byte. The values of clone3 and openat2
// are behind a pointer. A recorder that can read them stores clone3's flags, and openat2's flags and resolve, under
// these names too.
var Watched = [...]Gate{
	{"arch_prctl", "op", 0, low},
	{"bpf", "cmd", 0, low},
	{"clone", "flags", 0, low &^ 0xff},
	{"clone3", "flags", -1, 1<<64 - 1},
	{"fcntl", "cmd", 1, low},
	{"fcntl64", "cmd", 1, low},
	{"getrlimit", "resource", 0, low},
	{"getsockopt", "level", 1, low},
	{"getsockopt", "optname", 2, low},
	{"ioctl", "cmd", 1, low},
	{"keyctl", "op", 0, low},
	{"madvise", "advice", 2, low},
	{"mmap", "prot", 2, mProt},
	{"mmap", "flags", 3, mFlags},
	{"mmap2", "prot", 2, mProt},
	{"mmap2", "flags", 3, mFlags},
	{"mprotect", "prot", 2, mProt},
	{"open", "flags", 1, oMode},
	{"openat", "flags", 2, oMode},
	{"openat2", "resolve", -3, low},
	{"openat2", "flags", -1, oMode},
	{"personality", "persona", 0, low},
	{"pkey_mprotect", "prot", 2, mProt},
	{"prctl", "op", 0, low},
	{"prlimit64", "resource", 1, low},
	{"seccomp", "operation", 0, low},
	{"setgid", "gid", 0, low},
	{"setgid32", "gid", 0, low},
	{"setns", "nstype", 1, low},
	{"setrlimit", "resource", 0, low},
	{"setsockopt", "level", 1, low},
	{"setsockopt", "optname", 2, low},
	{"setuid", "uid", 0, low},
	{"setuid32", "uid", 0, low},
	{"socket", "family", 0, low},
	{"socket", "type", 1, low &^ (sockCloexec | sockNonblock)},
	{"socket", "protocol", 2, low},
	{"socketpair", "family", 0, low},
	{"socketpair", "type", 1, low &^ (sockCloexec | sockNonblock)},
	{"socketpair", "protocol", 2, low},
	{"ugetrlimit", "resource", 0, low},
	{"unshare", "flags", 0, low},
}

const (
	sockCloexec  = 0x80000
	sockNonblock = 0x800
)

// Pointer returns the register that points to the structure with a call's arguments: clone3(2), openat2(2).
func Pointer(call string) int {
	if call == "openat2" {
		return 2
	}
	return 0
}

// Gates returns the arguments of a call that a recorder keeps, or nil if it keeps none.
func Gates(call string) []Gate {
	for i := range Watched {
		if Watched[i].Call == call {
			n := i
			for n < len(Watched) && Watched[n].Call == call {
				n++
			}
			return Watched[i:n]
		}
	}
	return nil
}
