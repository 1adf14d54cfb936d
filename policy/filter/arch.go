package filter

// Arch is a system call ABI: an architecture's numbers and argument widths.
type Arch uint8

// The ABIs that have tables. X32 shares AMD64's audit value and has the bit 0x40000000 in its numbers.
const (
	NoArch Arch = iota
	AMD64
	ARM64
	RISCV64
	I386
	ARM
	X32
)

// X32Bit is __X32_SYSCALL_BIT of asm/unistd.h.
const X32Bit = 0x40000000

var archNames = [...]string{"none", "amd64", "arm64", "riscv64", "i386", "arm", "x32"}

// String returns a name that ParseArch accepts, or "none".
func (a Arch) String() string {
	if int(a) < len(archNames) {
		return archNames[a]
	}
	return "none"
}

// ParseArch returns the ABI with a name. It knows Go's names (amd64, arm64, riscv64, 386, arm), the kernel's names
// (x86_64, aarch64, i386) and x32.
func ParseArch(name string) (Arch, bool) {
	switch name {
	case "amd64", "x86_64":
		return AMD64, true
	case "arm64", "aarch64":
		return ARM64, true
	case "riscv64":
		return RISCV64, true
	case "i386", "386", "x86":
		return I386, true
	case "arm":
		return ARM, true
	case "x32":
		return X32, true
	}
	return NoArch, false
}

// Audit returns the AUDIT_ARCH_* value of linux/audit.h, which struct seccomp_data carries.
func (a Arch) Audit() uint32 {
	switch a {
	case AMD64, X32:
		return 0xc000003e
	case ARM64:
		return 0xc00000b7
	case RISCV64:
		return 0xc00000f3
	case I386:
		return 0x40000003
	case ARM:
		return 0x40000028
	}
	return 0
}

// Hosts reports whether a kernel for a may run calls of foreign.
func (a Arch) Hosts(foreign Arch) bool {
	switch a {
	case AMD64:
		return foreign == I386 || foreign == X32
	case ARM64:
		return foreign == ARM
	}
	return false
}

// is32 reports whether only the low half of each argument reaches the kernel.
func (a Arch) is32() bool { return a == I386 || a == ARM }

// Arches returns the ABIs that have tables.
func Arches() []Arch { return []Arch{AMD64, ARM64, RISCV64, I386, ARM, X32} }
