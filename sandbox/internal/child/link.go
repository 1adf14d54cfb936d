package child

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"cordon/sandbox/plan"
)

// op is a step of the plan in the form in which the child executes it.
type op struct {
	nr   uintptr
	args [6]uintptr
	load *int32      // if not nil, the result of the call is stored here
	put  *int32      // if not nil, the descriptor from is stored here before the call
	regs [6]plan.Reg // an argument is taken from this descriptor slot, if it is not 0
	or   uint16      // an errno that counts as success
	to   plan.Reg
	from plan.Reg
	kind uint8
	some bool // a result of 0 is an error: the other end of the socket is closed, or a signal would be sent
}

const (
	opEnd   = iota // zeroed memory: no more operations
	opCall         // a system call
	opFork         // clone(2): the new process continues as the task, the old one as init
	opAgain        // clone(2): the new process continues, the old one ends
)

// The Go heap lies in adjacent arenas of this size, which are aligned to it (runtime, heapArenaBytes on 64-bit Linux).
// The heap begins anywhere in the first arena (runtime, randomizeHeapBase), so even a small heap may lie in two arenas.
// From the arena that contains the stack, and from the arenas next to it, the child gets only a window around the stack
// pointer. The window may be small because the frames of run and of the functions that run calls are small.
const (
	arenaSize  = 64 << 20
	windowSize = 16 << 10 // at least two pages
)

// Image is a plan that is ready to be executed, in memory that launcher and child share. The launcher may add steps
// after Start, and the child executes them once it is told. An Image is used once.
type Image struct {
	clone  uint64
	group  int    // the descriptor of the cgroup for CLONE_INTO_CGROUP
	alone  bool   // see Alone
	memory []byte // nil after Release
	page   *Page
	ops    area // operations of the child and, after the fork, of the task
	init   area
	data   area // data to which the operations point
	fail   [2]int
}

// area is a part of an image's memory, filled from its beginning.
type area struct{ next, end uintptr }

// The layout of an image's memory. Pages that are never written take no memory.
const (
	imageSize = 64 << 20
	initStart = 4 << 10 // after the first page, which is a Page
	opsStart  = 32 << 10
	dataStart = 24 << 20
)

// InitBase is added to the numbers of init's steps in a Fault.
const InitBase = 1 << 20

// Page is the memory that the child shares with the launcher.
type Page struct {
	Init, Task Fault  // Init is also for the child before the fork
	Next       int32  // the pid of the process that Respawn has made, a child of the launcher; 0 if there is none
	Done       uint32 // 1 once init has reaped the task
	Guard      uint32 // 1: init is a guard: see guard
	Linger     uint32 // 1: init waits for one more word before its end, which closes the task's terminal
	Status     int32  // the task's wait status
	Usage      unix.Rusage
	owner      uint32 // the task's pid as init sees it, until the kernel releases the task's memory: see plan.HoldOwner
	self       int32  // the task's pid as the task sees it: see plan.WithSelf
	scratch    int32
	scratchUse unix.Rusage

	// The fields below are for guard: the signals that it waits for, a limit of 0 processes, a pause, and the list of
	// its children.
	signals  uint64
	noneMore [2]uint64
	pause    [2]int64
	children [2048]byte
}

// Fault is the step that has failed. If Errno is 0, it is the step that is running.
type Fault struct {
	Step  uint32 // number from 1, plus InitBase for init's steps; 0 before the first step and after the last
	Errno uint32
}

// numbers holds the system call numbers of this architecture.
var numbers = [plan.NumCalls]uintptr{
	plan.Capset: unix.SYS_CAPSET, plan.Chdir: unix.SYS_CHDIR, plan.Chroot: unix.SYS_CHROOT, plan.Close: unix.SYS_CLOSE,
	plan.CloseRange: unix.SYS_CLOSE_RANGE, plan.Dup3: unix.SYS_DUP3, plan.Execve: unix.SYS_EXECVE, plan.Fchdir: unix.SYS_FCHDIR,
	plan.Fsconfig: unix.SYS_FSCONFIG, plan.Fsmount: unix.SYS_FSMOUNT, plan.Fsopen: unix.SYS_FSOPEN, plan.IoctlCall: unix.SYS_IOCTL,
	plan.Keyctl: unix.SYS_KEYCTL, plan.LandlockAddRule: unix.SYS_LANDLOCK_ADD_RULE,
	plan.LandlockCreateRuleset: unix.SYS_LANDLOCK_CREATE_RULESET, plan.LandlockRestrictSelf: unix.SYS_LANDLOCK_RESTRICT_SELF,
	plan.Mkdirat: unix.SYS_MKDIRAT, plan.Mknodat: unix.SYS_MKNODAT, plan.MountSetattr: unix.SYS_MOUNT_SETATTR,
	plan.MoveMount: unix.SYS_MOVE_MOUNT, plan.Openat: unix.SYS_OPENAT, plan.Openat2: unix.SYS_OPENAT2, plan.OpenTree: unix.SYS_OPEN_TREE, plan.OpenTreeAttr: unix.SYS_OPEN_TREE_ATTR,
	plan.PivotRoot: unix.SYS_PIVOT_ROOT, plan.Prctl: unix.SYS_PRCTL, plan.Prlimit: unix.SYS_PRLIMIT64, plan.Read: unix.SYS_READ,
	plan.Recvfrom: unix.SYS_RECVFROM, plan.RtSigprocmask: unix.SYS_RT_SIGPROCMASK, plan.Seccomp: unix.SYS_SECCOMP,
	plan.Sendto: unix.SYS_SENDTO, plan.Setdomainname: unix.SYS_SETDOMAINNAME, plan.Setgroups: unix.SYS_SETGROUPS,
	plan.Sethostname: unix.SYS_SETHOSTNAME, plan.Setns: unix.SYS_SETNS, plan.Setpriority: unix.SYS_SETPRIORITY,
	plan.Setresgid: unix.SYS_SETRESGID, plan.Setresuid: unix.SYS_SETRESUID, plan.Setsid: unix.SYS_SETSID, plan.SocketCall: unix.SYS_SOCKET,
	plan.Symlinkat: unix.SYS_SYMLINKAT, plan.Umask: unix.SYS_UMASK, plan.Umount2: unix.SYS_UMOUNT2, plan.Unshare: unix.SYS_UNSHARE,
	plan.Write: unix.SYS_WRITE, plan.Execveat: unix.SYS_EXECVEAT, plan.Futex: unix.SYS_FUTEX,
	plan.Sendmsg: unix.SYS_SENDMSG, plan.SetRobustList: unix.SYS_SET_ROBUST_LIST, plan.Recvmsg: unix.SYS_RECVMSG,
	plan.Setpgid: unix.SYS_SETPGID, plan.Setsockopt: unix.SYS_SETSOCKOPT, plan.Bind: unix.SYS_BIND, plan.Listen: unix.SYS_LISTEN, plan.Kill: unix.SYS_KILL,
}

// Link makes an image of a whole plan. files maps the names in p.Files to descriptors.
func Link(p *plan.Plan, files map[string]int) (*Image, error) {
	im, err := New(p.Clone)
	if err == nil {
		im.Cgroup(files["cgroup"])
		err = im.AddInit(p.Init, files)
	}
	if err == nil {
		err = im.Add(p.Steps, files)
	}
	if err != nil {
		im.Release()
		return nil, err
	}
	return im, nil
}

// New makes an image without steps, for a child that is cloned with the given CLONE_* flags.
func New(clone uint64) (*Image, error) {
	memory, err := unix.Mmap(-1, 0, imageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("mmap of the memory shared with the child: %w", err)
	}
	start := addr(memory)
	return &Image{
		clone:  clone,
		memory: memory,
		page:   (*Page)(unsafe.Pointer(&memory[0])),
		init:   area{start + initStart, start + opsStart},
		ops:    area{start + opsStart, start + dataStart},
		data:   area{start + dataStart, start + imageSize},
		fail:   [2]int{-1, -1},
	}, nil
}

// Cgroup sets the cgroup in which the child starts, if its flags contain CLONE_INTO_CGROUP.
func (im *Image) Cgroup(fd int) { im.group = fd }

// Add appends steps for the child and the task.
func (im *Image) Add(steps []plan.Step, files map[string]int) error {
	return im.link(&im.ops, im.opsAt(opsStart), &im.fail[0], steps, files)
}

// AddInit appends steps for init. init must have all of them before the child forks.
func (im *Image) AddInit(steps []plan.Step, files map[string]int) error {
	return im.link(&im.init, im.opsAt(initStart), &im.fail[1], steps, files)
}

func (im *Image) opsAt(offset uintptr) uintptr { return addr(im.memory) + offset }

// link converts steps to operations in an area. The zeroed memory after the last operation marks the end.
func (im *Image) link(to *area, start uintptr, fail *int, steps []plan.Step, files map[string]int) error {
	const size = unsafe.Sizeof(op{})
	for i := range steps {
		if to.end-to.next < 2*size {
			return errTooLarge
		}
		o := (*op)(im.pointer(to.next))
		n := int((to.next - start) / size)
		if err := im.linkStep(o, &steps[i], files); err != nil {
			return fmt.Errorf("step %d: %s: %w", n, steps[i].Call, err)
		}
		if n == *fail { // no kernel has such a call, so it fails with ENOSYS
			o.nr, o.or, o.kind = ^uintptr(0), 0, opCall
		}
		to.next += size
	}
	return nil
}

var errTooLarge = errors.New("the plan is too large: name fewer mounts and hide rules, or the directories that they are in")

// pointer turns an address in the image's memory into a pointer.
func (im *Image) pointer(p uintptr) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(&im.memory[0]), p-addr(im.memory))
}

func (im *Image) linkStep(o *op, s *plan.Step, files map[string]int) error {
	// recvfrom returns 0 if the launcher has ended. That is an error, because nobody would supervise the program.
	*o = op{nr: numbers[s.Call], to: s.To, or: uint16(s.Or), kind: opCall, some: s.Call == plan.Recvfrom || s.Call == plan.Kill}
	if s.Call == plan.Fork || s.Call == plan.Respawn {
		o.nr, o.kind = unix.SYS_CLONE, opFork
		if s.Call == plan.Respawn {
			o.kind = opAgain
		}
		o.args[0] = uintptr(s.Args[0].Int) | uintptr(unix.SIGCHLD)
		if s.Args[0].Int&plan.CloneNewPID != 0 { // see plan.First
			im.page.owner, im.page.self = 1, 1
		}
		o.args[2] = uintptr(unsafe.Pointer(&im.page.Next)) // CLONE_PARENT_SETTID stores the pid here
		if s.Args[2].Kind == plan.Owner {
			o.args[2] = im.owner()
		}
		if s.Args[3].Kind == plan.Self { // child_tid and tls follow parent_tid; their order depends on the architecture
			o.args[3], o.args[4] = im.self(), im.self()
		}
		return nil
	}
	for j := range s.Args[:s.N] {
		if err := im.argument(o, j, &s.Args[j], files); err != nil {
			return err
		}
	}
	return nil
}

func (im *Image) argument(o *op, j int, a *plan.Arg, files map[string]int) (err error) {
	var b []byte
	switch a.Kind {
	case plan.Register:
		o.regs[j] = a.Reg
	case plan.AtFDCWD:
		o.args[j] = ^uintptr(99) // -100, AT_FDCWD
	case plan.FD:
		o.args[j], err = opened(files, a.Data)
	case plan.PathBeneath: // struct landlock_path_beneath_attr is packed: 8 bytes of rights, 4 of the descriptor
		if b, err = im.alloc(12); err == nil {
			*(*uint64)(unsafe.Pointer(&b[0])) = a.Int
			o.put, o.from = (*int32)(unsafe.Pointer(&b[8])), a.Reg
		}
	case plan.Null:
	case plan.Argv:
		o.args[j] = uintptr(unsafe.Pointer(unsafe.StringData(os.Args[0])))
	case plan.ArgvLen:
		o.args[j] = argvLen()
	case plan.Out:
		b, err = im.alloc(int(a.Int))
	case plan.Owner:
		o.args[j] = im.owner()
	case plan.Self:
		o.args[j] = im.self()
	case plan.RobustList:
		b, err = im.robustList()
	case plan.SendRights:
		_, b, err = im.sendRights(a.Data, int32(a.Int))
	case plan.KeptRights:
		var m *message
		if m, b, err = im.sendRights(string(rune(a.Int)), -1); err == nil {
			o.put, o.from = &m.fd, a.Reg
		}
	case plan.Rights:
		b, err = im.rights(o)
	case plan.Strings:
		b, err = im.strings(a.Data)
	case plan.Fprog:
		b, err = im.fprog(a.Data)
	default:
		o.args[j] = uintptr(a.Value())
		// The kernel would end the path at the NUL, and use another path than the one that the profile was checked for.
		if a.Kind == plan.Path && strings.IndexByte(a.Data, 0) >= 0 {
			return fmt.Errorf("%q: a NUL in a path", a.Data)
		}
		if a.Kind.IsPointer() {
			if b, err = im.alloc(len(a.Data) + 1); err == nil {
				copy(b, a.Data)
			}
		}
	}
	if b != nil {
		o.args[j] = addr(b)
	}
	return err
}

// opened returns the descriptor of a file that the plan names.
func opened(files map[string]int, name string) (uintptr, error) {
	fd, ok := files[name]
	if !ok {
		return 0, fmt.Errorf("file %q was not opened", name)
	}
	return uintptr(fd), nil
}

// argvLen returns how many bytes of the memory that execve(2) has filled hold the program's arguments. os.Args lie
// there one after the other. If the program has replaced os.Args, argvLen returns 0, and nothing is overwritten.
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

// alloc returns n zero bytes of the image's memory, aligned to 8.
func (im *Image) alloc(n int) ([]byte, error) {
	size := uintptr(n+7) &^ 7
	if n < 0 || im.data.end-im.data.next < size {
		return nil, errTooLarge
	}
	b := unsafe.Slice((*byte)(im.pointer(im.data.next)), n)
	im.data.next += size
	return b, nil
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
func (im *Image) strings(data string) ([]byte, error) {
	table, err := im.alloc((countStrings(data) + 1) * 8)
	if err != nil {
		return nil, err
	}
	text, err := im.alloc(len(data) + 1)
	if err != nil {
		return nil, err
	}
	copy(text, data)
	start := 0
	for i, k := 0, 0; i < len(data); i++ {
		if data[i] == 0 {
			*(*uintptr)(unsafe.Pointer(&table[k*8])) = addr(text[start:])
			start, k = i+1, k+1
		}
	}
	return table, nil
}

// fprog builds a struct sock_fprog: the number of instructions, and at offset 8 the address of the first.
func (im *Image) fprog(prog string) ([]byte, error) {
	head, err := im.alloc(16)
	if err != nil {
		return nil, err
	}
	body, err := im.alloc(len(prog) + 1)
	if err != nil {
		return nil, err
	}
	copy(body, prog)
	*(*uint16)(unsafe.Pointer(&head[0])) = uint16(len(prog) / 8)
	*(*uintptr)(unsafe.Pointer(&head[8])) = addr(body)
	return head, nil
}

// message is a struct msghdr with a text and one descriptor: unix(7), SCM_RIGHTS.
type message struct {
	unix.Msghdr
	iov     unix.Iovec
	control unix.Cmsghdr
	fd, _   int32
}

// message makes a message with n bytes of space for its text. The space is at the end of b.
func (im *Image) message(n int) (m *message, b []byte, err error) {
	const size = int(unsafe.Sizeof(message{}))
	if b, err = im.alloc(size + n); err != nil {
		return nil, nil, err
	}
	m = (*message)(unsafe.Pointer(&b[0]))
	m.Iov, m.iov.Base = &m.iov, &b[size]
	m.iov.SetLen(n)
	m.SetIovlen(1)
	m.Control = (*byte)(unsafe.Pointer(&m.control))
	m.SetControllen(size - int(unsafe.Offsetof(m.control)))
	return m, b, nil
}

// rights makes a message that receives one byte and one descriptor, which becomes the step's result. If no descriptor
// comes, the result is -1, which every call refuses with EBADF.
func (im *Image) rights(o *op) ([]byte, error) {
	m, b, err := im.message(1)
	if err != nil {
		return nil, err
	}
	m.fd = -1
	o.load = &m.fd
	return b, nil
}

// sendRights makes a message that sends a text and one descriptor.
func (im *Image) sendRights(text string, fd int32) (*message, []byte, error) {
	m, b, err := im.message(len(text))
	if err != nil {
		return nil, nil, err
	}
	copy(b[len(b)-len(text):], text)
	m.fd = fd
	m.control.Level, m.control.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
	m.control.SetLen(unix.CmsgLen(4))
	return m, b, nil
}

// Fail makes step i of the child and the task fail with ENOSYS, so that tests can see the error. It must be called
// before the step is added.
func (im *Image) Fail(i int) { im.fail[0] = i }

// FailInit does what Fail does, for init's steps.
func (im *Image) FailInit(i int) { im.fail[1] = i }

// Page returns the page in which the child records errors and its end.
func (im *Image) Page() *Page { return im.page }

// Release unmaps the image's memory. im may be nil.
func (im *Image) Release() {
	if im == nil || im.memory == nil {
		return
	}
	_ = unix.Munmap(im.memory) // munmap cannot fail for a mapping of New
	im.memory, im.page = nil, nil
}
