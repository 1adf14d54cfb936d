package convert

// This file lists the words of the OCI runtime specification.

import "cordon/policy/filter"

// op is an operator of libseccomp, as cordon's language writes it.
type op string

const opMasked op = "masked"

var ops = []struct {
	name string
	op   op
}{
	{"SCMP_CMP_NE", "!="}, {"SCMP_CMP_LT", "<"}, {"SCMP_CMP_LE", "<="}, {"SCMP_CMP_EQ", "=="}, {"SCMP_CMP_GE", ">="},
	{"SCMP_CMP_GT", ">"}, {"SCMP_CMP_MASKED_EQ", opMasked},
}

var actions = []struct {
	name string
	kind filter.Kind
}{
	{"SCMP_ACT_ALLOW", filter.Allow}, {"SCMP_ACT_ERRNO", filter.Errno}, {"SCMP_ACT_KILL", filter.KillThread},
	{"SCMP_ACT_KILL_THREAD", filter.KillThread}, {"SCMP_ACT_KILL_PROCESS", filter.Kill}, {"SCMP_ACT_TRAP", filter.Trap},
	{"SCMP_ACT_TRACE", filter.Trace}, {"SCMP_ACT_LOG", filter.Log}, {"SCMP_ACT_NOTIFY", filter.Notify},
}

// architectures lists the runtime specification's names. An architecture without a table in cordon is NoArch.
var architectures = []struct {
	name string
	arch filter.Arch
}{
	{"SCMP_ARCH_X86_64", filter.AMD64}, {"SCMP_ARCH_X86", filter.I386}, {"SCMP_ARCH_X32", filter.X32},
	{"SCMP_ARCH_AARCH64", filter.ARM64}, {"SCMP_ARCH_ARM", filter.ARM}, {"SCMP_ARCH_RISCV64", filter.RISCV64},
	{"SCMP_ARCH_MIPS", 0}, {"SCMP_ARCH_MIPS64", 0}, {"SCMP_ARCH_MIPS64N32", 0}, {"SCMP_ARCH_MIPSEL", 0},
	{"SCMP_ARCH_MIPSEL64", 0}, {"SCMP_ARCH_MIPSEL64N32", 0}, {"SCMP_ARCH_PPC", 0}, {"SCMP_ARCH_PPC64", 0},
	{"SCMP_ARCH_PPC64LE", 0}, {"SCMP_ARCH_S390", 0}, {"SCMP_ARCH_S390X", 0}, {"SCMP_ARCH_PARISC", 0},
	{"SCMP_ARCH_PARISC64", 0}, {"SCMP_ARCH_LOONGARCH64", 0}, {"SCMP_ARCH_M68K", 0}, {"SCMP_ARCH_SH", 0}, {"SCMP_ARCH_SHEB", 0},
}

// nativeNames lists the names of architectures in includes and excludes.
var nativeNames = []string{
	"amd64", "x86", "x32", "arm64", "arm", "riscv64", "loongarch64", "m68k", "mips", "mips64", "mips64n32", "mipsel", "mipsel64",
	"mipsel64n32", "mips3l64n32", "parisc", "parisc64", "ppc", "ppc64", "ppc64le", "s390", "s390x", "sh", "sheb",
}

// flags lists the flags of seccomp(2), and what Import does with each. how is "" for a flag that has no effect in
// cordon.
var flags = []struct {
	name, how string
	effect    Effect
}{
	{"SECCOMP_FILTER_FLAG_TSYNC", "", Same}, // the process that installs the filter has only one thread
	{"SECCOMP_FILTER_FLAG_LOG", "refused calls are not written to the audit log", Same},
	{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", "the mitigation of speculative store bypass stays on", Tighter},
	{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "it is about SCMP_ACT_NOTIFY, which nobody listens to", Same},
}
