package filter

import (
	"math/rand/v2"
	"strings"
	"testing"

	"cordon/policy/filter/tables"
)

func TestDecode(t *testing.T) {
	text := func(addr uint64) (string, bool) { return "/a\x1b\n", addr == 0x1000 }
	tests := []struct {
		arch Arch
		call string
		args []uint64
		want string
	}{
		{AMD64, "keyctl", []uint64{0, 0xfffffffd, 1}, `keyctl(KEYCTL_GET_KEYRING_ID, …)`},
		{AMD64, "openat", []uint64{0xffffffffffffff9c, 0x1000, 0x80241, 0o644}, `openat(AT_FDCWD, "/a\x1b\n", O_WRONLY|O_CLOEXEC|O_CREAT|O_TRUNC, 0644)`},
		{AMD64, "openat", []uint64{0xffffff9c, 0x2000, 0}, `openat(AT_FDCWD, …, O_RDONLY, 00)`},
		{ARM64, "openat", []uint64{5, 0, 0x410002}, `openat(5, NULL, O_RDWR|O_DIRECT|0x400000, 00)`},
		{AMD64, "openat", []uint64{5, 0, 0x410002}, `openat(5, NULL, O_RDWR|O_TMPFILE, 00)`},
		{AMD64, "socket", []uint64{40, 0x80001, 0}, `socket(AF_VSOCK, SOCK_STREAM|SOCK_CLOEXEC, 0)`},
		{AMD64, "socket", []uint64{2, 1, 262}, `socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP)`},
		{AMD64, "socket", []uint64{16, 3, 9}, `socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT)`},
		{AMD64, "socket", []uint64{0x12345, 1, 0}, `socket(0x12345, SOCK_STREAM, 0)`},
		{AMD64, "ioctl", []uint64{0, 0x5412, 0x2000}, `ioctl(0, TIOCSTI, …)`},
		{AMD64, "ioctl", []uint64{0, 0xff00000000005412}, `ioctl(0, TIOCSTI, …)`},
		{AMD64, "ioctl", []uint64{0, 0xdeadbeef}, `ioctl(0, 0xdeadbeef, …)`},
		{AMD64, "prctl", []uint64{15, 0x2000}, `prctl(PR_SET_NAME, …)`},
		{AMD64, "prctl", []uint64{35}, `prctl(PR_SET_MM, …)`},
		{AMD64, "prctl", []uint64{9999}, `prctl(9999, …)`},
		{AMD64, "clone", []uint64{0x10000011}, `clone(SIGCHLD|CLONE_NEWUSER, NULL, NULL, NULL, NULL)`},
		{AMD64, "unshare", []uint64{0x10020000}, `unshare(CLONE_NEWNS|CLONE_NEWUSER)`},
		{AMD64, "unshare", []uint64{0}, `unshare(0)`},
		{AMD64, "mmap", []uint64{0, 4096, 7, 0x22, 0xffffffff, 0}, `mmap(0, 4096, PROT_EXEC|PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)`},
		{AMD64, "mprotect", []uint64{0x7f0000000000, 4096, 0}, `mprotect(0x7f0000000000, 4096, PROT_NONE)`},
		{AMD64, "mount", []uint64{0x1000, 0x1000, 0, 0x1000, 0}, `mount("/a\x1b\n", "/a\x1b\n", NULL, MS_BIND, NULL)`},
		{AMD64, "mknodat", []uint64{0xffffff9c, 0x1000, 0o20600, 0x101}, `mknodat(AT_FDCWD, "/a\x1b\n", S_IFCHR|0600, 257)`},
		{AMD64, "ptrace", []uint64{16, 1}, `ptrace(PTRACE_ATTACH, 1, 0, 0)`},
		{AMD64, "kill", []uint64{0xffffffff, 9}, `kill(-1, SIGKILL)`},
		{AMD64, "bpf", []uint64{5, 0x2000, 120}, `bpf(BPF_PROG_LOAD, …, 120)`},
		{AMD64, "execveat", []uint64{3, 0x2000, 0x2000, 0x2000, 0x1000, 0x1234}, `execveat(3, …, …, …, AT_EMPTY_PATH, …)`},
		{I386, "socket", []uint64{0xffffffff00000002, 1, 0}, `socket(AF_INET, SOCK_STREAM, IPPROTO_IP)`},
		{X32, "ioctl", []uint64{0, 0x5412}, `ioctl(0, TIOCSTI, …)`},
		{AMD64, "getpid", nil, `getpid()`},
	}
	for _, tt := range tests {
		nr, ok := Number(tt.arch, tt.call)
		if !ok {
			t.Fatalf("%s is not on %s", tt.call, tt.arch)
		}
		d := Data{Nr: int32(nr), Arch: tt.arch.Audit()}
		if tt.arch == X32 {
			d.Nr |= X32Bit
		}
		copy(d.Args[:], tt.args)
		got := Decode(&d, text)
		if got.String() != tt.want || got.Arch != tt.arch {
			t.Errorf("%s %#x on %s:\n got %s on %s\nwant %s", tt.call, tt.args, tt.arch, got.String(), got.Arch, tt.want)
		}
	}
	unknown := Decode(&Data{Nr: 9999, Arch: AMD64.Audit()}, nil)
	if unknown.String() != "syscall_9999(…)" {
		t.Error(unknown.String())
	}
}

// TestFamilies checks that every family of the table is in use: its arguments and its names must exist.
func TestFamilies(t *testing.T) {
	for i := range families {
		f := &families[i]
		for _, arg := range strings.Fields(f.args) {
			call, name, _ := strings.Cut(arg, ".")
			if call != "" && !contains(Args(call), name) {
				t.Errorf("%s has no argument %s", call, name)
			}
		}
		for _, w := range strings.Fields(f.names) {
			prefix := strings.Trim(w, "-$")
			some := false
			for _, n := range tables.ConstNames {
				some = some || strings.HasPrefix(n, prefix)
			}
			if !some {
				t.Errorf("%s: no constant begins with %s", f.args, prefix)
			}
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// TestConstantArguments checks that each mask has the width in which the kernel reads the argument.
func TestConstantArguments(t *testing.T) {
	tests := []struct {
		arch Arch
		call string
		want [6]uint64
	}{
		{AMD64, "ioctl", [6]uint64{1: 1<<32 - 1}},
		{AMD64, "mprotect", [6]uint64{2: 1<<64 - 1}},
		{I386, "mprotect", [6]uint64{2: 1<<32 - 1}},
		{AMD64, "read", [6]uint64{}},
	}
	for _, tt := range tests {
		nr, _ := Number(tt.arch, tt.call)
		if got := Constants(tt.arch.Audit(), int32(nr)); got != tt.want {
			t.Errorf("%s on %s: %#x", tt.call, tt.arch, got)
		}
	}
	if got := Constants(AMD64.Audit(), 9999); got != ([6]uint64{}) {
		t.Errorf("a number without a name: %#x", got)
	}
}

// TestDecodeAny decodes every call of every table with random arguments. The text must contain no line break, and must
// not be too long.
func TestDecodeAny(t *testing.T) {
	g := gen{rand.New(rand.NewPCG(1, 2))}
	for a := AMD64; a <= X32; a++ {
		for _, c := range table(a) {
			d := Data{Nr: int32(c.Nr), Arch: a.Audit(), Args: g.args()}
			if a == X32 {
				d.Nr |= X32Bit
			}
			s := Decode(&d, func(uint64) (string, bool) { return "\n\x00", true })
			if text := s.String(); strings.ContainsAny(text, "\n\x00") || !strings.HasPrefix(text, tables.CallNames[c.Call]+"(") {
				t.Errorf("%s: %q", tables.CallNames[c.Call], text)
			}
		}
	}
}
