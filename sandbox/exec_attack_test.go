package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/launch"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/sandboxtest"
)

// attackVariable makes TestMain's program the attacker, if it is set and the program runs inside a sandbox.
const attackVariable = "CORDON_TEST_ATTACK"

// attackExe is the value of attackVariable if the launcher's own file was run.
const attackExe = "exe"

// TestExecAttacker is no test: it runs inside the sandbox, as the attacker. It tries again and again to get hold of
// every process that it sees, except itself and pid 1. It prints what it got of which process, with the name of the
// process's program and the mode of its filter.
func TestExecAttacker(t *testing.T) {
	if os.Getenv(attackVariable) == "" {
		t.Skip("it is run by others")
	}
	var asked atomic.Bool
	go func() {
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			asked.Store(true)
		}
		os.Exit(0)
	}()
	fmt.Println("ready")
	for {
		if asked.Swap(false) {
			fmt.Println("asked")
		}
		dirs, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range dirs {
			if pid, _ := strconv.Atoi(filepath.Base(dir)); pid > 1 && pid != os.Getpid() {
				attackProcess(pid, dir)
			}
		}
		fmt.Println("scanned")
	}
}

func attackProcess(pid int, dir string) {
	cmdline, _ := os.ReadFile(dir + "/cmdline")
	if strings.Contains(string(cmdline), "-test.run") {
		fmt.Println("got", pid, "cmdline")
	}
	fmt.Println("saw", pid)
	for what, try := range map[string]func() bool{
		"exe":  func() bool { return opens(dir + "/exe") },
		"root": func() bool { return opens(dir + "/root") },
		"cwd":  func() bool { return opens(dir + "/cwd") },
		"fd": func() bool {
			for n := range 30 {
				if opens(dir + "/fd/" + strconv.Itoa(n)) {
					return true
				}
			}
			return false
		},
		"mem": func() bool { return opens(dir + "/mem") },
		"environ": func() bool {
			text, err := os.ReadFile(dir + "/environ")
			return err == nil && len(text) > 0
		},
		"ns": func() bool { _, err := os.Readlink(dir + "/ns/mnt"); return err == nil },
		"vm": func() bool {
			buf := make([]byte, 1)
			_, err := unix.ProcessVMReadv(pid, []unix.Iovec{{Base: &buf[0], Len: 1}}, []unix.RemoteIovec{{Base: 0x400000, Len: 1}}, 0)
			return err == nil
		},
		"getfd": func() bool {
			p, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				return false
			}
			defer unix.Close(p)
			fd, err := unix.PidfdGetfd(p, 0, 0)
			if err == nil {
				unix.Close(fd)
			}
			return err == nil
		},
		"ptrace": func() bool {
			got := make(chan bool)
			go seize(pid, got)
			return <-got
		},
	} {
		exe, _ := os.Readlink(dir + "/exe") // before and after: what was got is of the one program or of the other
		if try() {
			status, _ := os.ReadFile(dir + "/status")
			fmt.Println("got", pid, what, "of", exe, proc.StatusField(status, "Seccomp"))
		}
	}
}

// seize traces a process for a moment, on a goroutine that then ends. The tracer must end, or nobody else could wait
// for the traced process. The first thread of a program does not end.
func seize(pid int, got chan<- bool) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		other := make(chan bool)
		go seize(pid, other)
		got <- <-other
		runtime.UnlockOSThread()
		return
	}
	const ptraceSeize = 0x4206
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, ptraceSeize, uintptr(pid), 0, 0, 0, 0)
	got <- errno == 0
}

func opens(path string) bool {
	f, err := os.Open(path)
	if err == nil {
		f.Close()
	}
	return err == nil
}

// attacked starts a sandbox in which the attacker runs. The attacker may trace, and no Landlock rule stops it. lines
// returns what it has printed since the last call.
func attacked(t *testing.T, change func(*policy.Profile)) (a *Attached, ask io.Writer, lines func() []string) {
	t.Helper()
	c := &Cmd{Profile: sandboxtest.Shipped(t, "default"), Args: []string{testBinary(t), "-test.run=^TestExecAttacker$"}, Attachable: true}
	p := c.Profile
	p.OnDenial, p.Landlock.Off = policy.DenialSilent, true
	p.Env.Set = append(p.Env.Set, policy.EnvVar{Name: attackVariable, Value: "1"})
	for _, name := range []string{"ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"} {
		p.Syscalls.Allow = append(p.Syscalls.Allow, policy.SyscallItem{Name: name})
	}
	change(p)
	in, out := idle(t, c)
	t.Cleanup(func() {
		in.Close()
		_ = c.Process.Signal(unix.SIGKILL)
		_, _ = wait(c)
	})
	var mu sync.Mutex
	var heard []string
	ready := make(chan bool)
	go func() {
		for s, first := bufio.NewScanner(out), true; s.Scan(); first = false {
			if first {
				close(ready)
			}
			mu.Lock()
			heard = append(heard, s.Text())
			mu.Unlock()
		}
	}()
	select {
	case <-ready:
	case <-time.After(10 * time.Second):
		t.Fatal("the attacker does not begin")
	}
	a, err := c.Attach()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a, in, func() []string {
		mu.Lock()
		defer mu.Unlock()
		list := heard
		heard = nil
		return list
	}
}

// scans asks the attacker to report, waits until it has then looked at everything twice, and returns what it says about
// that. What it has said before may still fill the pipe.
func scans(t *testing.T, ask io.Writer, lines func() []string) (all []string) {
	t.Helper()
	if _, err := io.WriteString(ask, "\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		all = append(all, lines()...)
		if from := slices.Index(all, "asked"); from >= 0 && strings.Count(strings.Join(all[from:], "\n"), "scanned") > 1 {
			return all[from:]
		}
		if time.Now().After(deadline) {
			t.Fatalf("the attacker has stopped: %q", all)
		}
	}
}

// attackCases are sandboxes whose tasks have different rights over each other.
func attackCases() map[string]func(*policy.Profile) {
	return map[string]func(*policy.Profile){
		"plain": func(p *policy.Profile) { p.User.Host = policy.HostCaller },
		"root inside": func(p *policy.Profile) {
			p.User = ids(0)
			p.User.Host = policy.HostCaller
			p.Capabilities.Keep = capabilities("SYS_PTRACE", "DAC_OVERRIDE", "SYS_CHROOT")
		},
		"own id": func(*policy.Profile) {},
	}
}

// TestExecNewcomerAttacked stops a newcomer at a moment when everything but the filter confines it, and when it has the
// launcher's memory, exe and descriptors. The attacker gets hold of a newcomer that is not concealed, and of nothing of
// one that is concealed.
func TestExecNewcomerAttacked(t *testing.T) {
	for name, change := range attackCases() {
		for _, exposed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s exposed %v", name, exposed), func(t *testing.T) {
				a, ask, lines := attacked(t, change)
				var got, seen []string
				if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil { // another test may have made it 0
					t.Fatal(err)
				}
				x := &Cmd{Into: a, Args: []string{"true"}, exposed: exposed}
				x.hold = func() {
					for _, line := range scans(t, ask, lines) {
						if strings.HasPrefix(line, "got ") {
							got = append(got, line)
						}
						if strings.HasPrefix(line, "saw ") {
							seen = append(seen, line)
						}
					}
				}
				_, err := run(x)
				text := strings.Join(got, "\n")
				switch {
				case len(seen) == 0:
					t.Error("the attacker does not see it:", err)
				case !exposed && (len(got) > 0 || err != nil):
					t.Errorf("%v\n%s", err, text)
				// If the newcomer's id changes, the kernel conceals it (fs.suid_dumpable) from processes without
				// capabilities.
				case exposed && name != "own id" && !(strings.Contains(text, " exe of "+exeName(t)) && strings.Contains(text, " ptrace of "+exeName(t)+" 0") && strings.Contains(text, " mem of ")):
					t.Errorf("the attack does not work even without the defence: %v\n%s", err, text)
				}
			})
		}
	}
	asUserToo(t)
}

func exeName(t *testing.T) string {
	t.Helper()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// TestExecRaced starts one program after another while the attacker tries. Everything that the attacker gets hold of
// must be a program under the filter, and never a process of the launcher's.
func TestExecRaced(t *testing.T) {
	for name, change := range attackCases() {
		t.Run(name, func(t *testing.T) {
			a, _, lines := attacked(t, change)
			for range 100 {
				_, _ = run(&Cmd{Into: a, Args: []string{"true"}}) // it may be stopped, or killed
			}
			saw := 0
			for _, line := range lines() {
				saw += strings.Count(line, "saw ")
				if strings.HasPrefix(line, "got ") && (strings.Contains(line, exeName(t)) || strings.HasSuffix(line, " 0") || strings.HasSuffix(line, "cmdline")) {
					t.Error(line)
				}
			}
			if saw == 0 {
				t.Error("the attacker saw nothing")
			}
		})
	}
	asUserToo(t)
}

// TestExecSwapped puts a script in the program's place after the launcher has examined the program. The kernel would
// use the launcher's own file as the script's interpreter (CVE-2019-5736).
func TestExecSwapped(t *testing.T) {
	for _, exposed := range []bool{true, false} {
		_, a := joinable(t, shell(t, "cp /bin/true /tmp/p; "+linger))
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		x := &Cmd{Into: a, Args: []string{"/tmp/p"}, Env: []string{attackVariable + "=" + attackExe}, Stdout: w, exposed: exposed}
		x.hold = func() {
			// This cannot be t.Fatal, because it runs on the launcher's goroutine.
			writer := &Cmd{Into: a, Args: []string{"sh", "-c", "printf '#!/proc/self/exe\\n' >/tmp/p"}}
			if report, err := run(writer); err != nil || report.Exit != 0 {
				t.Errorf("%+v, %v", report, err)
			}
		}
		_, err = run(x)
		w.Close()
		text, _ := io.ReadAll(r)
		r.Close()
		var lookup *LookupError
		switch ran := string(text) == "the launcher's own file\n"; {
		case exposed && !ran:
			t.Errorf("the attack does not work even without the defence: %q, %v", text, err)
		case !exposed && (len(text) > 0 || !errors.As(err, &lookup)):
			t.Errorf("%q, %v", text, err)
		}
	}
	asUserToo(t)
}

// TestExecKilled kills the newcomer, or the process that waits for it, while the newcomer waits inside. The result must
// be an error, and nothing may be left.
func TestExecKilled(t *testing.T) {
	_, a := joinable(t, shell(t, linger))
	before := look(t)
	for _, victim := range []func(*launch.Process) int{func(p *launch.Process) int { return p.Task }, func(p *launch.Process) int { return p.PID }} {
		x := &Cmd{Into: a, Args: []string{"true"}}
		x.hold = func() { _ = unix.Kill(victim(x.proc), unix.SIGKILL) }
		if _, err := run(x); err == nil {
			t.Error("no error")
		}
	}
	unchanged(t, before)
	asUserToo(t)
}
