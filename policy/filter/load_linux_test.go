package filter

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"cordon/policy/filter/tables"
)

// loadEnv is the variable that turns the test binary into a child. The child loads the filter that the variable names
// and tries calls.
const loadEnv = "CORDON_TEST_LOAD"

func TestMain(m *testing.M) {
	if name := os.Getenv(loadEnv); name != "" {
		runtime.LockOSThread()
		loadAndTry(name)
	}
	os.Exit(m.Run())
}

// loadable returns filters for the kernel to check. Each allows the calls that Go's runtime needs, because the runtime
// continues under the filter.
func loadable() map[string]Spec {
	big := dockerSpec()
	big.Rules = append(big.Rules, Rule{Call: "mremap", Expr: "old_size <= new_size && old_size ^ 1 != flags"})
	for i := range 60 {
		call := tables.CallNames[(i*7)%tables.NumCalls]
		if tables.GroupSets[groupIndex("@default")].Has(uint16((i*7)%tables.NumCalls)) || tables.GroupSets[groupIndex("@signal")].Has(uint16((i*7)%tables.NumCalls)) {
			continue
		}
		big.Rules = append(big.Rules, Rule{Call: call, Expr: bigExpr(40)})
	}
	return map[string]Spec{"docker": dockerSpec(), "default": defaultSpec(), "big": big}
}

// TestKernel loads the compiled filters into the running kernel, in a child, and tries some calls under them.
func TestKernel(t *testing.T) {
	if _, ok := ParseArch(runtime.GOARCH); !ok {
		t.Skip("no table for " + runtime.GOARCH)
	}
	for name := range loadable() {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), loadEnv+"="+name)
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != "loaded keyctl=EPERM unknown=ENOSYS clone3=ENOSYS socket=EPERM" {
			t.Errorf("%s: %v: %s", name, err, got)
		}
	}
}

// TestKernelX32 checks that the kernel kills a process that makes a call by an x32 number.
func TestKernelX32(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("x32 is amd64's")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), loadEnv+"=x32")
	out, err := cmd.CombinedOutput()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != unix.SIGSYS {
		t.Errorf("%v: %s", err, out)
	}
}

// loadAndTry loads a filter and tries calls in this process. It never returns.
func loadAndTry(name string) {
	arch, _ := ParseArch(runtime.GOARCH)
	spec, x32 := loadable()[name], name == "x32"
	if x32 {
		spec = defaultSpec()
	}
	p, err := Compile(spec, arch)
	if err != nil {
		die(err.Error())
	}
	prog := unix.SockFprog{Len: uint16(len(p.Insns)), Filter: (*unix.SockFilter)(unsafe.Pointer(&p.Insns[0]))}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		die("no_new_privs: " + err.Error())
	}
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, 1, 0, uintptr(unsafe.Pointer(&prog))); e != 0 {
		die("seccomp: " + e.Error())
	}
	if x32 {
		_, _, e := unix.RawSyscall(unix.SYS_GETPID|X32Bit, 0, 0, 0)
		die("an x32 call was made: " + e.Error())
	}
	_, _, keyctl := unix.RawSyscall(unix.SYS_KEYCTL, 0, 0, 0)
	_, _, unknown := unix.RawSyscall(1000, 0, 0, 0)
	_, _, clone3 := unix.RawSyscall(unix.SYS_CLONE3, 0, 0, 0)
	_, _, socket := unix.RawSyscall(unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET, 0)
	die("loaded keyctl=" + unix.ErrnoName(keyctl) + " unknown=" + unix.ErrnoName(unknown) + " clone3=" + unix.ErrnoName(clone3) + " socket=" + unix.ErrnoName(socket))
}

func die(msg string) {
	os.Stdout.WriteString(msg + "\n")
	os.Exit(0)
}

// TestInsnLayout checks the memory layout of Insn, because launchers pass a slice of Insn to the kernel.
func TestInsnLayout(t *testing.T) {
	if unsafe.Sizeof(Insn{}) != unix.SizeofSockFilter || unsafe.Offsetof(Insn{}.K) != unsafe.Offsetof(unix.SockFilter{}.K) || unsafe.Offsetof(Insn{}.Jf) != unsafe.Offsetof(unix.SockFilter{}.Jf) {
		t.Error("Insn is not struct sock_filter")
	}
}
