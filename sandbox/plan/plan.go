// Package plan holds the plan of a launch: a flat list of system calls as plain values, without pointers. It prints,
// compares and encodes plans. It makes no system calls.
//
// A plan has no branches, no loops and no computed values, because every decision is taken when the plan is made. A
// step can use only one thing of an earlier step, which is the step's result, through a register.
package plan

import "strconv"

// Plan lists all system calls between clone and exec.
type Plan struct {
	Clone uint64   // CLONE_* flags of clone3(2), without the exit signal; with CLONE_INTO_CGROUP, the file "cgroup" is the group
	Steps []Step   // the child's steps; after Fork they are the task's
	Join  []Step   // steps of the launcher's thread before it clones: setns(2) into existing namespaces
	Init  []Step   // steps of init, which the child becomes after Fork, before it reaps
	Files []string // names of files that the launcher opens and the steps use
}

// Step is one system call.
type Step struct {
	Call Call
	N    uint8 // number of Args that the call has
	Args [6]Arg
	To   Reg   // the register that gets the result; 0 if none
	Or   Errno // an error that counts as success; 0 if none
	From From
}

// Reg is a register: a slot for a descriptor that one step opens and later steps use. A later step may set it again.
type Reg uint8

// These are the registers, named after what they hold.
const (
	NoReg Reg = iota
	Root
	Tree
	Source
	Target
	Dir
	Scratch
	Proc
	Dev
	FS
	File
	Ruleset
	Socket
	Mask
	HostProc
	Pts
	Master
	Slave
	Program
	Top     // "/", if a path is opened component by component
	Between // a directory in such a path
	Input   // a file that becomes standard input
	Kept    // the first of KeptRegs registers for mounts that a later step needs
	NumRegs = Kept + KeptRegs
)

// KeptRegs is the number of registers from Kept on.
const KeptRegs = 16

var regNames = [NumRegs]string{"", "root", "tree", "source", "target", "dir", "scratch", "proc", "dev", "fs", "file", "ruleset", "socket", "umask", "hostproc", "pts", "master", "slave", "program",
	"top", "between", "input"}

func (r Reg) String() string {
	if r >= Kept && r < NumRegs {
		return "%kept" + strconv.Itoa(int(r-Kept))
	}
	return "%" + regNames[r]
}

// Arg is one argument. Data is memory that the kernel reads: a path, a buffer, or a structure in its C layout.
type Arg struct {
	Kind Kind
	Reg  Reg
	Int  uint64
	Data string
}

// Kind says what an argument is, and so how it is passed and printed.
type Kind uint8

// The kinds form three groups. An argument of the first group is passed as a number, an argument of the second group as
// a pointer to Data, and an argument of the third group as its comment says.
const (
	Int Kind = iota // decimal
	Hex
	Octal
	AtFlags
	CloneFlags
	CloseRangeFlags
	DupFlags
	FsconfigCmd
	FsmountAttrs
	Ioctl
	KeyctlOp
	MoveMountFlags
	MsgFlags
	OpenFlags
	OpenMode // open flags with an access mode
	FsopenFlags
	FsmountFlags
	OpenTreeFlags
	PrctlOp
	Resource
	SeccompOp
	SeccompFlags
	FutexOp
	Signal
	SigHow
	SocketDomain
	SocketType
	SockProto
	NetlinkProto
	SockLevel
	SockOption
	UmountFlags
	Capability
	RuleType
	FileMode
	SecureBits
	AmbientOp
	Who
	Nonce // a secret that is not printed

	firstPointer
	Path        // a NUL is added
	Text        // a buffer without NUL
	OpenHow     // struct open_how
	MountAttr   // struct mount_attr
	CapHeader   // struct __user_cap_header_struct
	CapData     // struct __user_cap_data_struct[2]
	Rlimit64    // struct rlimit64
	Timespec    // struct timespec
	Ifreq       // struct ifreq
	RulesetAttr // struct landlock_ruleset_attr
	Sigset      // kernel sigset_t
	IntPtr      // int
	Netlink     // messages of netlink(7)
	Sockaddr    // struct sockaddr_in or sockaddr_in6

	lastPointer
	Null        // NULL
	Out         // a buffer of Int bytes that the kernel writes
	Argv        // the address of the launcher's own arguments: proc_pid_cmdline(5)
	ArgvLen     // their length, including the NULs
	Register    // the value of Reg
	FD          // the descriptor of the file Data, opened by the launcher
	Fprog       // struct sock_fprog whose filter is Data
	Strings     // char *const[]: Data holds them, each ended by a NUL
	Rights      // struct msghdr with room for one descriptor
	Owner       // the address of the owner word in the page shared with the launcher
	Self        // the address of the word in that page where the task finds its pid
	RobustList  // struct robust_list_head with the owner word as its only lock
	SendRights  // struct msghdr with the bytes of Data, and the descriptor number Int as SCM_RIGHTS
	KeptRights  // SendRights with the letter Int and the descriptor in Reg
	PathBeneath // struct landlock_path_beneath_attr: Int is allowed_access, and parent_fd the descriptor in Reg
)

// IsPointer reports whether the argument is passed as a pointer to Data.
func (k Kind) IsPointer() bool { return k > firstPointer && k < lastPointer }

// Value returns the number that is passed. For an option of a socket, Int also holds the option's level, for the
// printed form.
func (a *Arg) Value() uint64 {
	if a.Kind == SockOption {
		return a.Int & 0xffff
	}
	return a.Int
}

// Errno is an error number as in errno(3). The numbers are the same on every supported architecture.
type Errno uint16

// These are the errors that a plan tolerates.
const (
	EPERM      Errno = 1
	ENOENT     Errno = 2
	ESRCH      Errno = 3
	EBADF      Errno = 9
	ENOMEM     Errno = 12
	EACCES     Errno = 13
	EEXIST     Errno = 17
	EAGAIN     Errno = 11
	EINVAL     Errno = 22
	EROFS      Errno = 30
	ENOSYS     Errno = 38
	EOPNOTSUPP Errno = 95
	ETIMEDOUT  Errno = 110
)

// From is the line of the profile, or the flag, that has caused a step. The zero value means that the launcher itself
// needs the step.
type From struct {
	Section string // such as "mounts"
	Index   int    // the index in a list, from 0; -1 if it is no list
	File    string
	Line    int
	Flag    string // the flag of the command line
}
