package child

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"cordon/sandbox/plan"
)

// op is a linked step.
type op struct {
	nr   uintptr
	args [6]uintptr
	regs [6]plan.Reg // where not 0, the argument is this register's value
	to   plan.Reg
	or   syscall.Errno
}

// Image is a plan ready to run. It is used once.
type Image struct {
	clone  uint64
	ops    []op // Steps, then Init
	fork   int  // index of the Fork step; -1 if there is none
	init   int  // index of the first Init step
	page   *Page
	memory []byte // what the operations point into
}

// Page is the memory that the child shares with the launcher.
type Page struct {
	Init, Task Fault  // Init is also the child's before it forks
	Done       uint32 // 1 once the task was reaped
	Status     int32  // the task's wait status
	Usage      unix.Rusage
	scratch    int32
	scratchUse unix.Rusage
}

// Fault is the step that failed; or where Errno is 0, the one that is going on.
type Fault struct {
	Step  uint32 // index + 1; 0 before the first and behind the last
	Errno uint32
}

// numbers of the calls on this architecture.
var numbers = [plan.NumCalls]uintptr{
	plan.Capset: unix.SYS_CAPSET, plan.Chdir: unix.SYS_CHDIR, plan.Chroot: unix.SYS_CHROOT, plan.Close: unix.SYS_CLOSE,
	plan.CloseRange: unix.SYS_CLOSE_RANGE, plan.Dup3: unix.SYS_DUP3, plan.Execve: unix.SYS_EXECVE, plan.Fchdir: unix.SYS_FCHDIR,
	plan.Fsconfig: unix.SYS_FSCONFIG, plan.Fsmount: unix.SYS_FSMOUNT, plan.Fsopen: unix.SYS_FSOPEN, plan.IoctlCall: unix.SYS_IOCTL,
	plan.Keyctl: unix.SYS_KEYCTL, plan.LandlockAddRule: unix.SYS_LANDLOCK_ADD_RULE,
	plan.LandlockCreateRuleset: unix.SYS_LANDLOCK_CREATE_RULESET, plan.LandlockRestrictSelf: unix.SYS_LANDLOCK_RESTRICT_SELF,
	plan.Mkdirat: unix.SYS_MKDIRAT, plan.Mknodat: unix.SYS_MKNODAT, plan.MountSetattr: unix.SYS_MOUNT_SETATTR,
	plan.MoveMount: unix.SYS_MOVE_MOUNT, plan.Openat: unix.SYS_OPENAT, plan.Openat2: unix.SYS_OPENAT2, plan.OpenTree: unix.SYS_OPEN_TREE,
	plan.PivotRoot: unix.SYS_PIVOT_ROOT, plan.Prctl: unix.SYS_PRCTL, plan.Prlimit: unix.SYS_PRLIMIT64, plan.Read: unix.SYS_READ,
	plan.Recvfrom: unix.SYS_RECVFROM, plan.RtSigprocmask: unix.SYS_RT_SIGPROCMASK, plan.Seccomp: unix.SYS_SECCOMP,
	plan.Sendto: unix.SYS_SENDTO, plan.Setdomainname: unix.SYS_SETDOMAINNAME, plan.Setgroups: unix.SYS_SETGROUPS,
	plan.Sethostname: unix.SYS_SETHOSTNAME, plan.Setns: unix.SYS_SETNS, plan.Setpriority: unix.SYS_SETPRIORITY,
	plan.Setresgid: unix.SYS_SETRESGID, plan.Setresuid: unix.SYS_SETRESUID, plan.Setsid: unix.SYS_SETSID, plan.SocketCall: unix.SYS_SOCKET,
	plan.Symlinkat: unix.SYS_SYMLINKAT, plan.Umask: unix.SYS_UMASK, plan.Umount2: unix.SYS_UMOUNT2, plan.Unshare: unix.SYS_UNSHARE,
	plan.Write: unix.SYS_WRITE, plan.Fchmod: unix.SYS_FCHMOD,
}

// Link makes an image of p. files gives the descriptor of each of p.Files.
func Link(p *plan.Plan, files map[string]int) (*Image, error) {
	steps := len(p.Steps) + len(p.Init)
	im := &Image{clone: p.Clone, ops: make([]op, steps), fork: -1, init: len(p.Steps)}
	size := 0
	for _, list := range [2][]plan.Step{p.Steps, p.Init} {
		for i := range list {
			size += need(&list[i])
		}
	}
	im.memory = make([]byte, 0, size)
	for i := range im.ops {
		s := &p.Steps
		j := i
		if i >= im.init {
			s, j = &p.Init, i-im.init
		}
		if err := im.link(i, &(*s)[j], files); err != nil {
			return nil, fmt.Errorf("step %d: %w", i, err)
		}
	}
	page, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(Page{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("mmap of the page shared with the child: %w", err)
	}
	im.page = (*Page)(unsafe.Pointer(&page[0]))
	return im, nil
}

// need is an upper bound of the memory that a step's arguments take.
func need(s *plan.Step) int {
	n := 0
	for i := range s.Args[:s.N] {
		a := &s.Args[i]
		switch a.Kind {
		case plan.Strings:
			n += (countStrings(a.Data)+1)*8 + len(a.Data) + 8
		case plan.Out:
			n += int(a.Int) + 8
		case plan.Fprog, plan.PathBeneath:
			n += 16 + 8 + len(a.Data) + 8
		default:
			if a.Kind.IsPointer() {
				n += len(a.Data) + 1 + 8
			}
		}
	}
	return n
}

func (im *Image) link(i int, s *plan.Step, files map[string]int) error {
	o := &im.ops[i]
	o.nr, o.to, o.or = numbers[s.Call], s.To, syscall.Errno(s.Or)
	if s.Call == plan.Fork {
		o.nr, im.fork = unix.SYS_CLONE, i
		o.args[0] = uintptr(s.Args[0].Int) | uintptr(unix.SIGCHLD)
		return nil
	}
	for j := range s.Args[:s.N] {
		a := &s.Args[j]
		switch a.Kind {
		case plan.Register:
			o.regs[j] = a.Reg
		case plan.AtFDCWD:
			o.args[j] = ^uintptr(99) // -100
		case plan.FD:
			fd, ok := files[a.Data]
			if !ok {
				return fmt.Errorf("%s: file %q was not opened", s.Call, a.Data)
			}
			o.args[j] = uintptr(fd)
		case plan.PathBeneath:
			fd, ok := files[a.Data]
			if !ok {
				return fmt.Errorf("%s: file %q was not opened", s.Call, a.Data)
			}
			b := im.alloc(12)
			*(*uint64)(unsafe.Pointer(&b[0])) = a.Int
			*(*int32)(unsafe.Pointer(&b[8])) = int32(fd)
			o.args[j] = addr(b)
		case plan.Null:
		case plan.Argv:
			o.args[j] = uintptr(unsafe.Pointer(unsafe.StringData(os.Args[0])))
		case plan.ArgvLen:
			o.args[j] = argvLen()
		case plan.Out:
			o.args[j] = addr(im.alloc(int(a.Int)))
		case plan.Strings:
			o.args[j] = im.strings(a.Data)
		case plan.Fprog:
			o.args[j] = im.fprog(a.Data)
		default:
			o.args[j] = uintptr(a.Int)
			if a.Kind.IsPointer() {
				b := im.alloc(len(a.Data) + 1)
				copy(b, a.Data)
				o.args[j] = addr(b)
			}
		}
	}
	return nil
}

// argvLen is the length of the arguments: os.Args are strings in the memory that execve(2) filled, one after the other.
// A program that has replaced them gets nothing wiped.
func argvLen() uintptr {
	next := uintptr(unsafe.Pointer(unsafe.StringData(os.Args[0])))
	start := next
	for _, arg := range os.Args {
		if uintptr(unsafe.Pointer(unsafe.StringData(arg))) != next {
			return 0
		}
		next += uintptr(len(arg)) + 1
	}
	return next - start
}

// alloc takes n zero bytes, aligned to 8, from the image's memory, which never moves.
func (im *Image) alloc(n int) []byte {
	start := (len(im.memory) + 7) &^ 7
	im.memory = im.memory[:start+n]
	return im.memory[start : start+n]
}

func addr(b []byte) uintptr { return uintptr(unsafe.Pointer(&b[0])) }

func countStrings(s string) int {
	n := 0
	for i := range len(s) {
		if s[i] == 0 {
			n++
		}
	}
	return n
}

// strings builds a NULL-terminated array of pointers to the strings of data.
func (im *Image) strings(data string) uintptr {
	n := countStrings(data)
	table := im.alloc((n + 1) * 8)
	text := im.alloc(len(data) + 1)
	copy(text, data)
	start := 0
	for i, k := 0, 0; i < len(data); i++ {
		if data[i] == 0 {
			*(*uintptr)(unsafe.Pointer(&table[k*8])) = addr(text[start:])
			start, k = i+1, k+1
		}
	}
	return addr(table)
}

func (im *Image) fprog(prog string) uintptr {
	head := im.alloc(16)
	body := im.alloc(len(prog) + 1)
	copy(body, prog)
	*(*uint16)(unsafe.Pointer(&head[0])) = uint16(len(prog) / 8)
	*(*uintptr)(unsafe.Pointer(&head[8])) = addr(body)
	return addr(head)
}

// Fail makes the operation of step i fail with ENOSYS, for tests of what happens then.
func (im *Image) Fail(i int) { im.ops[i].nr, im.ops[i].or = ^uintptr(0), 0 }

// Page is what the child has to say.
func (im *Image) Page() *Page { return im.page }

// Release gives the shared page back.
func (im *Image) Release() {
	if im.page == nil {
		return
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(im.page)), int(unsafe.Sizeof(Page{})))
	im.page = nil
	_ = unix.Munmap(b) // of a mapping made above: nothing can be done about an error
	runtime.KeepAlive(im)
}
