package child

import (
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"cordon/sandbox/plan"
)

// link makes an image that is released when the test ends.
func link(t *testing.T, p *plan.Plan, files map[string]int) *Image {
	t.Helper()
	im, err := Link(p, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(im.Release)
	return im
}

// at returns n bytes of an image's memory at an address, which must lie in that memory.
func at(t *testing.T, im *Image, p uintptr, n int) string {
	t.Helper()
	start := uintptr(unsafe.Pointer(unsafe.SliceData(im.memory)))
	if p < start || p+uintptr(n) > start+uintptr(len(im.memory)) {
		t.Fatalf("%#x: %d bytes lie outside of the image's memory", p, n)
	}
	return string(im.memory[p-start : p-start+uintptr(n)])
}

func pointer(t *testing.T, im *Image, p uintptr) uintptr {
	t.Helper()
	var b [8]byte
	copy(b[:], at(t, im, p, 8))
	return *(*uintptr)(unsafe.Pointer(&b))
}

func TestLinkArguments(t *testing.T) {
	p := &plan.Plan{
		Steps: []plan.Step{
			plan.OpenStep(plan.CWD, "/etc/passwd", unix.O_CREAT, 0o644).Into(plan.File),           // 0
			plan.CloseStep(plan.R(plan.File)).OrElse(plan.EBADF),                                  // 1
			plan.CloseStep(plan.F("sync")),                                                        // 2
			plan.WriteStep(plan.Number(7), "a\x00b"),                                              // 3
			plan.ReadStep(plan.F("gate"), 13),                                                     // 4
			plan.Exec("/bin/x", "x\x00\x00last\x00", ""),                                          // 5
			plan.SetFilter(0, "\x06\x00\x00\x00\x00\x00\xff\x7f\x06\x00\x00\x00\x00\x00\x00\x80"), // 6
			plan.AllowBeneath(plan.R(plan.Ruleset), plan.Dir, 1<<33|5),                            // 7
			plan.Nice(-3), // 8
			plan.NoGroups(),
			plan.RecvFD(plan.F("sync")).Into(plan.Tree), // 10
		},
		Init: []plan.Step{plan.ChdirStep("")},
	}
	im := link(t, p, map[string]int{"sync": 41, "gate": 42})
	op := func(i int) *op { return opAt(im, opsStart, i) }

	if o := op(0); int(int32(o.args[0])) != unix.AT_FDCWD || at(t, im, o.args[1], 12) != "/etc/passwd\x00" || o.args[3] != 0o644 || o.to != plan.File || o.nr != unix.SYS_OPENAT {
		t.Errorf("openat: %+v", o)
	}
	if o := op(1); o.regs[0] != plan.File || o.or != uint16(unix.EBADF) {
		t.Errorf("close of a register: %+v", o)
	}
	if o := op(2); o.args[0] != 41 || o.regs[0] != 0 {
		t.Errorf("close of a file: %+v", o)
	}
	if o := op(3); o.args[0] != 7 || at(t, im, o.args[1], 3) != "a\x00b" || o.args[2] != 3 {
		t.Errorf("write: %+v", o)
	}
	if o := op(4); o.args[0] != 42 || at(t, im, o.args[1], 13) != strings.Repeat("\x00", 13) {
		t.Errorf("read: %+v", o)
	}
	argv := op(5).args[1]
	for i, want := range []string{"x\x00", "\x00", "last\x00"} {
		if got := at(t, im, pointer(t, im, argv+uintptr(8*i)), len(want)); got != want {
			t.Errorf("argv[%d] is %q", i, got)
		}
	}
	if end := pointer(t, im, argv+24); end != 0 {
		t.Errorf("argv does not end: %#x", end)
	}
	if end := pointer(t, im, op(5).args[2]); end != 0 {
		t.Errorf("an empty environment is not empty: %#x", end)
	}
	prog := op(6).args[2]
	if n := at(t, im, prog, 2); n != "\x02\x00" {
		t.Errorf("sock_fprog.len is %x", n)
	}
	if body := at(t, im, pointer(t, im, prog+8), 16); body != p.Steps[6].Args[2].Data {
		t.Errorf("sock_fprog.filter is %x", body)
	}
	if o := op(7); at(t, im, o.args[2], 12) != "\x05\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00" || uintptr(unsafe.Pointer(o.put)) != o.args[2]+8 || o.from != plan.Dir {
		t.Errorf("landlock_path_beneath_attr: %+v", o)
	}
	if n := int(op(8).args[2]); n != -3 {
		t.Errorf("nice %d", n)
	}
	if o := op(9); o.args != [6]uintptr{} {
		t.Errorf("setgroups: %+v", o)
	}
	if first := opAt(im, initStart, 0); first.nr != unix.SYS_CHDIR || at(t, im, first.args[0], 1) != "\x00" || opAt(im, initStart, 1).kind != opEnd {
		t.Errorf("init begins with %+v", first)
	}
	if o := op(10); o.kind != opCall || o.to != plan.Tree || *o.load != -1 {
		t.Errorf("recvmsg: %+v", o)
	}
	if o := op(11); o.kind != opEnd {
		t.Errorf("behind the last: %+v", o)
	}
}

// opAt is the i-th operation of an area.
func opAt(im *Image, area uintptr, i int) *op {
	return (*op)(im.pointer(im.opsAt(area) + uintptr(i)*unsafe.Sizeof(op{})))
}

// TestLinkMemory links arguments of every length, and checks that none overlaps another.
func TestLinkMemory(t *testing.T) {
	p := &plan.Plan{}
	for n := range 40 {
		s := strings.Repeat("x", n)
		p.Steps = append(p.Steps, plan.ChdirStep(s), plan.Exec(s, strings.Repeat(s+"\x00", n), s+"\x00"), plan.ReadStep(plan.Number(0), uint64(n+1)),
			plan.SetFilter(0, strings.Repeat("12345678", n)), plan.SymlinkStep(s, plan.CWD, s), plan.CapsetStep(1, 2, 3), plan.SetRlimit(1, 2, 3))
	}
	im := link(t, p, nil)
	for n := range 40 {
		want := strings.Repeat("x", n) + "\x00"
		if got := at(t, im, opAt(im, opsStart, 7*n).args[0], n+1); got != want {
			t.Errorf("path of %d bytes: %q", n, got)
		}
		if got := at(t, im, opAt(im, opsStart, 7*n+4).args[2], n+1); got != want {
			t.Errorf("second path of %d bytes: %q", n, got)
		}
		if opAt(im, opsStart, 7*n+2).args[1]%8 != 0 {
			t.Errorf("a buffer of %d bytes is not aligned", n+1)
		}
	}
}

func TestLinkErrors(t *testing.T) {
	tests := []struct {
		step plan.Step
		want string
	}{
		{plan.CloseStep(plan.F("none")), `step 0: close: file "none" was not opened`},
	}
	for _, tt := range tests {
		im, err := Link(&plan.Plan{Steps: []plan.Step{plan.NewSession()}, Init: []plan.Step{tt.step}}, map[string]int{"other": 3})
		if im != nil || err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// TestNumbers checks that there is a number for every call that a plan may use; 0 would be read(2).
func TestNumbers(t *testing.T) {
	seen := map[uintptr]plan.Call{}
	for c := plan.Respawn + 1; c < plan.NumCalls; c++ {
		nr := numbers[c]
		if other, ok := seen[nr]; ok {
			t.Errorf("%s and %s have the same number", c, other)
		}
		seen[nr] = c
	}
}

// run starts an image and waits for the child.
func runAndWait(t *testing.T, im *Image) unix.WaitStatus {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, pidfd, err := im.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	return status
}

// TestRun runs plans that need no rights. They have results in registers, errors that are tolerated, and errors that
// are not.
func TestRun(t *testing.T) {
	var out string
	write := func(text string) plan.Step { return plan.WriteStep(plan.F("out"), text) }
	bad := plan.CloseStep(plan.Number(1 << 20))
	tests := []struct {
		name       string
		plan       plan.Plan
		out        string
		exit       int
		init, task Fault
		done       bool
		status     int32
	}{
		{name: "nothing"},
		{name: "in order", plan: plan.Plan{Steps: []plan.Step{write("a"), write("b")}}, out: "ab"},
		{name: "a register", plan: plan.Plan{Steps: []plan.Step{
			plan.OpenStep(plan.CWD, "/dev/null", unix.O_RDWR, 0).Into(plan.File),
			plan.Dup(plan.F("out"), plan.R(plan.File), 0), // File is out now
			plan.WriteStep(plan.R(plan.File), "c"),
			plan.OpenStep(plan.CWD, "/dev/null", unix.O_RDWR, 0).Into(plan.File), // and now it is not
			plan.WriteStep(plan.R(plan.File), "d"),
		}}, out: "c"},
		{name: "a failure", plan: plan.Plan{Steps: []plan.Step{write("a"), bad, write("b")}}, out: "a", exit: 125, init: Fault{2, uint32(unix.EBADF)}},
		{name: "tolerated", plan: plan.Plan{Steps: []plan.Step{bad.OrElse(plan.EBADF), write("b")}}, out: "b"},
		{name: "another than tolerated", plan: plan.Plan{Steps: []plan.Step{bad.OrElse(plan.ENOENT), write("b")}}, exit: 125, init: Fault{1, uint32(unix.EBADF)}},
		{name: "fork", plan: plan.Plan{Steps: []plan.Step{plan.ForkStep(), plan.RecvByte(plan.F("pair")), write("task")},
			Init: []plan.Step{write("init "), plan.SendByte(plan.F("other"), "x")}}, out: "init task", done: true},
		{name: "the task fails", plan: plan.Plan{Steps: []plan.Step{plan.ForkStep(), bad}}, task: Fault{2, uint32(unix.EBADF)}, done: true, status: 125 << 8},
		{name: "init fails", plan: plan.Plan{Steps: []plan.Step{plan.ForkStep()}, Init: []plan.Step{write("a"), bad}}, out: "a", exit: 125, init: Fault{InitBase + 2, uint32(unix.EBADF)}},
		{name: "execve fails", plan: plan.Plan{Steps: []plan.Step{plan.Exec("/nothing", "x\x00", "")}}, exit: 125, init: Fault{1, uint32(unix.ENOENT)}},
		{name: "execve", plan: plan.Plan{Steps: []plan.Step{plan.ForkStep(), plan.Dup(plan.F("out"), plan.Number(1), 0),
			plan.Exec("/bin/sh", "sh\x00-c\x00echo $A $0 $1; exit 3\x00zero\x00one\x00", "A=1\x00")}}, out: "1 zero one\n", done: true, status: 3 << 8},
	}
	for i := range 2 * len(tests) {
		tt := tests[i/2]
		t.Run(tt.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			im := link(t, &tt.plan, map[string]int{"out": int(w.Fd()), "pair": pair[0], "other": pair[1]})
			if i%2 == 1 {
				im.Alone()
			}
			status := runAndWait(t, im)
			w.Close()
			unix.Close(pair[0])
			unix.Close(pair[1])
			buf := make([]byte, 100)
			n, _ := r.Read(buf)
			out = string(buf[:n])
			page := im.Page()
			if out != tt.out || status.ExitStatus() != tt.exit || failed(page.Init) != tt.init || failed(page.Task) != tt.task || (page.Done == 1) != tt.done || page.Status != tt.status {
				t.Errorf("wrote %q, exit %d, %+v", out, status.ExitStatus(), *page)
			}
		})
	}
}

// TestStartTogether starts several children at once. The memory that one start keeps from its child may contain the
// stack of another start. Afterwards processes inherit the heap as before: a process that C code forks needs it.
func TestStartTogether(t *testing.T) {
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range 30 {
				im, err := Link(&plan.Plan{Steps: []plan.Step{plan.ForkStep(), plan.UmaskStep(0)}, Init: []plan.Step{plan.UmaskStep(0)}}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if i%2 == 1 {
					im.Alone()
				}
				deep(i, func() {
					if status := runAndWait(t, im); status.ExitStatus() != 0 || im.Page().Done != 1 {
						t.Errorf("status %#x, %+v", status, *im.Page())
					}
				})
				im.Release()
			}
		})
	}
	wait.Wait()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(smaps)) {
		if strings.HasPrefix(line, "VmFlags:") && strings.Contains(line, " dc ") {
			t.Error("a part of the memory is not inherited any more")
		}
	}
}

// TestAlone checks that the child of a dedicated launcher gets nothing that was mapped before the image, unless libc is
// in the process.
func TestAlone(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	between := func(alone bool) (n int) {
		im := link(t, &plan.Plan{Steps: []plan.Step{plan.RecvByte(plan.F("sync"))}}, map[string]int{"sync": pair[1]})
		im.alone = alone
		above := addr(im.memory) + imageSize
		pid, fd, err := im.Start()
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		maps, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(maps)) {
			from, to, _ := strings.Cut(strings.Fields(line)[0], "-")
			begin, _ := strconv.ParseUint(from, 16, 64)
			end, _ := strconv.ParseUint(to, 16, 64)
			if uintptr(begin) >= above && end-begin > vvarPages*uint64(os.Getpagesize()) && !strings.Contains(line, "[stack]") {
				n++
			}
		}
		if _, err := unix.Write(pair[0], []byte{0}); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
			t.Fatal(err)
		}
		return n
	}
	all, n := between(false), between(true)
	if (n != 0) != withC || all == 0 {
		t.Errorf("%d mappings above the image, and %d without Alone", n, all)
	}
}

// deep calls f when so many KiB of the stack are in use.
func deep(n int, f func()) {
	var room [1 << 10]byte
	if n > 0 {
		deep(n-1, f)
	} else {
		f()
	}
	runtime.KeepAlive(&room)
}

// TestRespawn checks that the new process goes on as a child of this process, which learns the new process's pid.
func TestRespawn(t *testing.T) {
	im := link(t, &plan.Plan{Steps: []plan.Step{plan.RespawnStep(), plan.CloseStep(plan.Number(1 << 20))}}, nil)
	if status := runAndWait(t, im); status.ExitStatus() != 0 {
		t.Errorf("the first process ended with %d", status.ExitStatus())
	}
	next := int(im.Page().Next)
	if next == 0 {
		t.Fatal("no pid")
	}
	var status unix.WaitStatus
	if pid, err := unix.Wait4(next, &status, 0, nil); err != nil || pid != next || status.ExitStatus() != 125 {
		t.Errorf("pid %d, exit %d, %v", pid, status.ExitStatus(), err)
	}
	if got := failed(im.Page().Init); got != (Fault{2, uint32(unix.EBADF)}) {
		t.Errorf("%+v", got)
	}
}

// failed returns f if f is an error, and otherwise no fault: a step without an error only says how far a process has
// come.
func failed(f Fault) Fault {
	if f.Errno == 0 {
		return Fault{}
	}
	return f
}

// TestFail makes a step of each kind fail, the fork too.
func TestFail(t *testing.T) {
	p := &plan.Plan{Steps: []plan.Step{plan.UmaskStep(0), plan.ForkStep(), plan.UmaskStep(0).OrElse(plan.ENOSYS)}, Init: []plan.Step{plan.UmaskStep(0)}}
	for i := range 4 {
		im, err := New(0)
		if err != nil {
			t.Fatal(err)
		}
		want := Fault{uint32(i) + 1, uint32(unix.ENOSYS)}
		if i < 3 {
			im.Fail(i)
		} else {
			im.FailInit(0)
			want.Step = InitBase + 1
		}
		if err := errors.Join(im.AddInit(p.Init, nil), im.Add(p.Steps, nil)); err != nil {
			t.Fatal(err)
		}
		runAndWait(t, im)
		got := failed(im.Page().Init)
		if i == 2 {
			got = failed(im.Page().Task)
		}
		if got != want {
			t.Errorf("step %d: %+v, not %+v", i, got, want)
		}
		im.Release()
	}
}

// TestAdd gives a child that already runs the rest of its steps, and a descriptor.
func TestAdd(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	files := map[string]int{"sync": pair[1]}
	im, err := New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Release()
	if err := im.Add([]plan.Step{plan.RecvFD(plan.F("sync")).Into(plan.File), plan.RecvByte(plan.F("sync"))}, files); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, pidfd, err := im.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if err := im.Add([]plan.Step{plan.WriteStep(plan.R(plan.File), "later")}, files); err != nil {
		t.Fatal(err)
	}
	for _, rights := range [][]byte{unix.UnixRights(int(w.Fd())), nil} {
		if err := unix.Sendmsg(pair[0], []byte{1}, rights, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	unix.Close(pair[0])
	unix.Close(pair[1])
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	n, _ := r.Read(buf)
	if string(buf[:n]) != "later" || status.ExitStatus() != 0 {
		t.Errorf("wrote %q, status %v, %+v", buf[:n], status, im.Page().Init)
	}
}

// TestNobodyAnswers checks that a child ends if its launcher is gone and the byte for which the child waits never
// comes.
func TestNobodyAnswers(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	unix.Close(pair[0])
	im := link(t, &plan.Plan{Steps: []plan.Step{plan.UmaskStep(0), plan.RecvByte(plan.F("sync")), plan.UmaskStep(0)}}, map[string]int{"sync": pair[1]})
	runAndWait(t, im)
	if got, want := failed(im.Page().Init), (Fault{2, uint32(unix.EPIPE)}); got != want {
		t.Errorf("%+v, not %+v", got, want)
	}
}

// TestTooLarge refuses a plan that has more steps, or needs more memory, than an image holds.
func TestTooLarge(t *testing.T) {
	im := link(t, &plan.Plan{}, nil)
	err := im.AddInit(make([]plan.Step, (opsStart-initStart)/int(unsafe.Sizeof(op{}))), nil)
	if !errors.Is(err, errTooLarge) {
		t.Errorf("steps: %v", err)
	}
	for range 3 {
		err = im.Add([]plan.Step{plan.ReadStep(plan.Number(0), (imageSize-dataStart)/2-100)}, nil)
	}
	if !errors.Is(err, errTooLarge) {
		t.Errorf("memory: %v", err)
	}
}

// TestRelease checks that Release may be called twice.
func TestRelease(t *testing.T) {
	im, err := Link(&plan.Plan{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	im.Release()
	im.Release()
	if im.Page() != nil {
		t.Error("the page is still there")
	}
}

// notifyUname allows every call but uname(2), which it asks the listener about.
func notifyUname() string {
	var b []byte
	for _, in := range [][4]uint32{{0x20, 0, 0, 0}, {0x15, 0, 1, unix.SYS_UNAME}, {6, 0, 0, unix.SECCOMP_RET_USER_NOTIF}, {6, 0, 0, unix.SECCOMP_RET_ALLOW}} {
		b = append(b, byte(in[0]), 0, byte(in[1]), byte(in[2]), byte(in[3]), byte(in[3]>>8), byte(in[3]>>16), byte(in[3]>>24))
	}
	return string(b)
}

// TestHandOver gets the listener of a filter under which the task makes only one call, execve. init waits for the
// listener already, or comes late, and the task lives or has ended.
func TestHandOver(t *testing.T) {
	if !FilterFlags(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER) {
		t.Skip("no listeners before Linux 5.0")
	}
	const number = 40 // where the listener is found
	tests := []struct {
		name   string
		late   bool
		asleep bool // init is pid 1 and sleeps for the task
		script string
		out    string
	}{
		{"init waits", false, false, "sleep 0.2; uname -s || echo $?; ls /proc/self/fd | wc -l", "1\n4\n"},
		{"init is late", true, false, "uname -s || echo $?; ls /proc/self/fd | wc -l; sleep 0.3", "1\n4\n"},
		{"the task is gone", true, false, "", ""},
		{"init sleeps", false, true, "sleep 0.2; uname -s || echo $?; ls /proc/self/fd | wc -l", "1\n4\n"},
		{"init comes late to sleep", true, true, "uname -s || echo $?; ls /proc/self/fd | wc -l; sleep 0.3", "1\n4\n"},
		{"the task is gone before init sleeps", true, true, "", ""},
		{"the task goes while init sleeps", false, true, "", ""},
		{"the task goes before it holds the word", false, true, "nothing", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				err = unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
			}
			if err != nil {
				t.Fatal(err)
			}
			p := &plan.Plan{Init: []plan.Step{plan.AwaitOwner().OrElse(plan.ESRCH), plan.SendFile(plan.F("other"), "L", number).OrElse(plan.EBADF),
				plan.CloseFrom(3, 0)}}
			if tt.asleep {
				p.Clone = unix.CLONE_NEWUSER | unix.CLONE_NEWPID
				p.Init = append([]plan.Step{plan.SleepForOwner(2).OrElse(plan.EAGAIN)}, p.Init...)
			}
			if tt.late {
				p.Init = append([]plan.Step{plan.RecvByte(plan.F("other"))}, p.Init...)
			}
			p.Steps = []plan.Step{plan.CloseStep(plan.F("pair")), plan.OwnedFork(), plan.HoldOwner(), plan.PrctlStep(unix.PR_SET_NO_NEW_PRIVS, 1), plan.Dup(plan.F("out"), plan.Number(1), 0)}
			if tt.asleep {
				p.Steps = slices.Insert(p.Steps, 3, plan.MarkOwner().OrElse(plan.EINVAL))
			}
			if tt.script == "nothing" {
				p.Steps, tt.script = p.Steps[:2], ""
			}
			for i := uint64(3); i < number; i++ { // the lowest free number is the listener's
				p.Steps = append(p.Steps, plan.Dup(plan.F("out"), plan.Number(i), unix.O_CLOEXEC))
			}
			if tt.script == "" {
				p.Steps = append(p.Steps, plan.CloseStep(plan.Number(1<<20)))
			} else {
				p.Steps = append(p.Steps, plan.CloseFrom(number, unix.CLOSE_RANGE_CLOEXEC), plan.CloseStep(plan.Number(number)).OrElse(plan.EBADF),
					plan.SetFilter(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, notifyUname()), plan.Exec("/bin/sh", "sh\x00-c\x00"+tt.script+"\x00", "PATH=/usr/bin:/bin\x00"))
			}
			files := map[string]int{"out": high(t, int(w.Fd()), number), "pair": high(t, pair[0], number), "other": high(t, pair[1], number)}
			w.Close()
			im := link(t, p, files)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			pid, pidfd, err := im.Start()
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(pidfd)
			unix.Close(files["out"])
			unix.Close(files["other"])
			if tt.late {
				time.Sleep(100 * time.Millisecond)
				if err := unix.Send(files["pair"], []byte{1}, unix.MSG_NOSIGNAL); err != nil {
					t.Fatal(err)
				}
			}
			if tt.script != "" {
				answerOne(t, files["pair"])
			}
			unix.Close(files["pair"])
			if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
				t.Fatal(err)
			}
			out, _ := io.ReadAll(r)
			if string(out) != tt.out {
				t.Errorf("wrote %q, %+v", out, *im.Page())
			}
		})
	}
}

// high moves a descriptor out of the way.
func high(t *testing.T, fd, number int) int {
	t.Helper()
	to, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, number+1)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// answerOne receives the listener, before the program ends, and denies one call.
func answerOne(t *testing.T, link int) {
	t.Helper()
	m, errno := Receive(link)
	if errno != 0 || m.Byte != 'L' || !IsListener(m.File) || IsListener(link) {
		t.Fatalf("received %+v, %v", m, errno)
	}
	defer unix.Close(m.File)
	SyncWakeUp(m.File)
	fds := []unix.PollFd{{Fd: int32(m.File), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 5000); n != 1 || err != nil || fds[0].Revents&unix.POLLIN == 0 {
		t.Fatalf("poll: %d %v %x", n, err, fds[0].Revents)
	}
	var n Notification
	if errno := NextNotification(m.File, &n); errno != 0 || n.Nr != unix.SYS_UNAME || n.PID == 0 {
		t.Fatalf("%+v %v", n, errno)
	}
	if !Waits(m.File, n.ID) || Waits(m.File, n.ID+1) {
		t.Error("the id")
	}
	buf := make([]byte, 8)
	if n := ReadMemory(int(n.PID), n.Args[0], buf); n != len(buf) {
		t.Errorf("read %d bytes", n)
	}
	if errno := Deny(m.File, n.ID, 0); errno != 0 {
		t.Error(errno)
	}
	if Waits(m.File, n.ID) || Deny(m.File, n.ID, unix.EPERM) == 0 {
		t.Error("answered twice")
	}
}

func TestRandom(t *testing.T) {
	a, err := Random()
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if b, err := Random(); err != nil || b == a {
			t.Errorf("%#x after %#x, %v", b, a, err)
		}
	}
}
