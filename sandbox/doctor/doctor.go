package doctor

import (
	"io/fs"
	"strings"
	"syscall"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/cause"
)

// Finding is the result of one check of what this machine can do for a sandbox.
type Finding struct {
	Name   string  `json:"name"`
	State  Outcome `json:"state"`
	Found  string  `json:"found"`            // what was found and, if that is not obvious, how
	For    string  `json:"for"`              // the feature of cordon that needs the result
	Cause  string  `json:"cause,omitempty"`  // why the feature is missing or restricted
	Remedy string  `json:"remedy,omitempty"` // the exact command or setting
}

// Outcome is the result of a check, in a word.
type Outcome string

const (
	OutcomeOK      Outcome = "ok"
	OutcomeMissing Outcome = "missing"
	OutcomePartial Outcome = "partial" // available, with a restriction that Found names
	OutcomeUnknown Outcome = "unknown" // the check could not be made
)

// Machine answers the questions of the checks: it reads files, and tries features. ThisMachine returns the real
// machine; a test describes its own.
type Machine struct {
	UID, GID int
	PID      int
	User     string // the caller's login name; "" if unknown
	Exe      string // the path of this program, for remedies that name it

	ReadFile func(path string) (string, error)
	Stat     func(path string) (fs.FileMode, error)
	Writable func(path string) bool // access(2), W_OK
	HasCap   func(bit uint) bool    // reports whether a capability is in the effective set

	Release    func() string                                            // uname(2), e.g. "6.1.0-18-amd64 x86_64"
	Namespaces func(flags uintptr) error                                // makes them in a new user namespace, and uses them
	Call       func(nr, a, b, c, d, e uintptr) (uintptr, syscall.Errno) // makes a system call that changes nothing
	IDMap      func() error                                             // makes an idmapped mount of the working directory
	Overlay    func() error                                             // mounts an overlay in a user namespace
	Rlimit     func(resource int) (soft, hard uint64)                   // getrlimit(2)
	FileSystem func() string                                            // the type of the working directory's file system
	Helper     func(name string) error                                  // finds newuidmap(1) or newgidmap(1), as a launch does
}

// doctorCheck is one row in the table of checks.
type doctorCheck struct {
	name  string
	why   string // Finding.For
	probe func(*Machine) Finding
}

// doctorChecks lists the checks in the order in which a launch needs them.
var doctorChecks = [...]doctorCheck{
	{"kernel", "everything; 5.12 is the first kernel with mount_setattr(2), which makes a whole tree read-only", probeKernel},
	{"userns", "every sandbox", func(m *Machine) Finding { return probeNamespace(m, "user") }},
	{"mount", "a root of its own", func(m *Machine) Finding { return probeNamespace(m, "mnt") }},
	{"proc", "a /proc that shows only the sandbox's processes", probeProc},
	{"pid", "the task sees, and can signal, only processes of the sandbox", func(m *Machine) Finding { return probeNamespace(m, "pid") }},
	{"ipc", "separate System V IPC and message queues", func(m *Machine) Finding { return probeNamespace(m, "ipc") }},
	{"uts", "a separate host name", func(m *Machine) Finding { return probeNamespace(m, "uts") }},
	{"net", "network: none", func(m *Machine) Finding { return probeNamespace(m, "net") }},
	{"cgroupns", "hiding the host's cgroup paths", func(m *Machine) Finding { return probeNamespace(m, "cgroup") }},
	{"time", "namespaces: {time: …}, clock offsets", func(m *Machine) Finding { return probeNamespace(m, "time") }},
	{"mount-api", "mounts by descriptor, safe from somebody who swaps symbolic links", probeMountAPI},
	{"process-api", "starting and watching the task without races", probeProcessAPI},
	{"idmap", "writable binds if root starts cordon: files that the task writes belong to root", probeIDMap},
	{"overlay", "root: {overlay: …}, mounts: {overlay: …}", probeOverlay},
	{"seccomp", "syscalls: …", probeSeccomp},
	{"seccomp-notify", "on-denial: report, and network: {allow: …}", probeNotify},
	{"landlock", "landlock: …", probeLandlock},
	{"in-place", "cordon run --in-place: a program without any namespace", probeInPlace},
	{"idmap-ranges", "user: ranges through newuidmap(1)", probeRanges},
	{"cgroup", "limits for the whole sandbox: limits: {memory, swap, cpus, pids, io, …}", probeCgroup},
	{"sys-resource", "raising a hard rlimit, lowering oom_score_adj", probeSysResource},
	{"rlimits", "limits: {rlimits: …}: a profile can lower these, not raise them", probeRlimits},
	{"bpf", "no part of a sandbox; but if users may load BPF programs, they reach more kernel code", probeBPF},
}

// Diagnose runs every check.
func Diagnose(m *Machine) []Finding {
	out := make([]Finding, 0, len(doctorChecks))
	for _, c := range doctorChecks {
		f := c.probe(m)
		f.Name, f.For = c.name, c.why
		out = append(out, f)
	}
	return out
}

func fine(found string) Finding { return Finding{State: OutcomeOK, Found: found} }

func lacking(found, cause, remedy string) Finding {
	return Finding{State: OutcomeMissing, Found: found, Cause: cause, Remedy: remedy}
}

func probeKernel(m *Machine) Finding {
	r := m.Release()
	if host.KernelAtLeast(r, 5, 12) {
		return fine(r)
	}
	return lacking(r, "older than 5.12", "run a newer kernel; every distribution released since 2021 has one")
}

// read returns a file's first line, or "" if there is no such file.
func (m *Machine) read(path string) string { return m.host().Line(path) }

// status returns a field of /proc/self/status.
func (m *Machine) status(field string) string { return m.host().Status(field) }

// filtered reports whether this process already has a seccomp filter, from a container runtime or systemd.
func (m *Machine) filtered() bool { return m.host().Filtered() }

// doctorCalls is a group of system calls that a launch needs together, each with the first kernel that has it.
type doctorCalls []struct {
	name  string
	nr    uintptr
	since string
}

// probeCalls finds out which calls the kernel does not know. It makes each call with arguments that the kernel must
// refuse.
func probeCalls(m *Machine, set doctorCalls) Finding {
	var have, lack []string
	since := ""
	for _, c := range set {
		if _, e := m.Call(c.nr, ^uintptr(0), 0, 0, 0, 0); e == syscall.ENOSYS {
			lack = append(lack, c.name)
			since = c.since
			continue
		}
		have = append(have, c.name)
	}
	if len(lack) == 0 {
		return fine(strings.Join(have, " "))
	}
	f := lacking("no "+strings.Join(lack, ", no "), "the kernel answers ENOSYS; the call exists since Linux "+since, "run a newer kernel")
	if m.filtered() {
		f.Cause = "ENOSYS, which the seccomp filter on this process answers (Seccomp: 2 in /proc/self/status) or a kernel before " + since
		f.Remedy = cause.RemedySeccomp
	}
	return f
}

func probeSysResource(m *Machine) Finding {
	const capSysResource = 24
	if m.HasCap(capSysResource) {
		return fine("CAP_SYS_RESOURCE is effective")
	}
	return Finding{State: OutcomePartial, Found: "no CAP_SYS_RESOURCE: hard limits can only be lowered, oom_score_adj only raised",
		Cause: "it is not in the effective set", Remedy: "nothing to do, unless a profile asks for more than the limits below"}
}

func probeBPF(m *Machine) Finding {
	found := "kernel.unprivileged_bpf_disabled=" + orAbsent(m.read("/proc/sys/kernel/unprivileged_bpf_disabled")) +
		", lockdown: " + orAbsent(bracketed(m.read("/sys/kernel/security/lockdown")))
	if m.read("/proc/sys/kernel/unprivileged_bpf_disabled") == "0" {
		return Finding{State: OutcomePartial, Found: found, Cause: "any user may load BPF programs", Remedy: "sysctl -w kernel.unprivileged_bpf_disabled=2"}
	}
	return fine(found)
}

// bracketed returns the word in brackets in a kernel file such as "none [integrity] confidentiality".
func bracketed(s string) string {
	_, s, found := strings.Cut(s, "[")
	if !found {
		return ""
	}
	s, _, _ = strings.Cut(s, "]")
	return s
}

func orAbsent(s string) string { return cause.OrAbsent(s) }
