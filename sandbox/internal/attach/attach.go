package attach

// This file holds what a launcher keeps of its sandbox, so that another program can join the sandbox later: setns(2),
// namespaces(7), ioctl_nsfs(2) (NS_GET_NSTYPE, Linux 4.11), landlock_restrict_self(2), pidfd_open(2).
//
// The launcher keeps descriptors, which it opened while the task waited before its execve. It does not look up a pid or
// a path later, because the task may then be another program, or may have moved files. The launcher also keeps
// Landlock's ruleset, because no process can join a Landlock domain. A ruleset that is made later would apply to
// directories that the task has put in the place of others.

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/loop"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/walk"
)

// Attached describes a running sandbox in which another program can be started: see Cmd.Into. It holds descriptors of
// the sandbox's namespaces and root. They keep the namespaces and the root alive until Close.
type Attached struct {
	Caller  int             // the user id that started the sandbox; only this user may join it
	Profile *policy.Profile // the effective profile
	Cwd     string          // the caller's working directory, for which "." stands in the profile
	Home    string          // the caller's home, for which "~" stands in the profile
	Workdir string          // the task's working directory
	Env     []string        // the task's environment
	NewUser bool
	UID     int // the task's user id inside the sandbox
	GID     int
	Spaces  []Space
	Limits  []ResourceLimit
	Umask   uint32
	Filter  []byte // the profile's filter without reports, as struct sock_filter[], with 0 as its random number

	// Properties of the waiting task, from /proc/PID: lines of status, and the files setgroups, cgroup and
	// attr/current.
	UIDs      string
	GIDs      string
	Groups    string
	Filters   string // number of the task's seccomp filters, without the profile's own
	SetGroups string
	Cgroups   string // the lines of /proc/PID/cgroup in which the task differs from the launcher
	Label     string // the label of a security module; "" if there is none

	Files []string // for each descriptor what it is, in their order: see FileSpace
	fds   map[string]int
}

// Space is a namespace that the task is in.
type Space struct {
	Kind string // the kind's name in /proc/PID/ns
	ID   string // the text of the link there: "net:[4026531840]"
	Host bool   // the launcher is in this namespace too
}

// ResourceLimit is a limit as getrlimit(2) returns it.
type ResourceLimit struct {
	Resource int
	Soft     uint64
	Hard     uint64
}

// These names say what a descriptor is. internal/compile has the names for the sandbox's cgroups.
const (
	FileSpace   = "ns/"     // a namespace; the kind follows
	FileRoot    = "root"    // the task's root directory, O_PATH
	FileInit    = "init"    // a pidfd of init
	FileRuleset = "ruleset" // Landlock's ruleset
	FileText    = "text"    // the other fields of Attached, encoded by pack
)

// Descriptors returns the descriptors by name. The map belongs to a.
func (a *Attached) Descriptors() map[string]int {
	if a.fds == nil {
		a.fds = map[string]int{}
	}
	return a.fds
}

// With returns a copy of a with other descriptors.
func (a *Attached) With(fds map[string]int) *Attached {
	b := *a
	b.fds = fds
	return &b
}

// Open opens the namespaces and the root of a process, and reads its other properties. dir is the process's directory
// in /proc.
func (a *Attached) Open(dir string) error {
	for i := range host.Kinds {
		name := host.Kinds[i].Name
		id, err := proc.Readlink(dir + "/ns/" + name)
		if err != nil && name == "time" {
			continue // kernels before Linux 5.6 lack this kind
		}
		if err != nil {
			return err
		}
		own, err := proc.Readlink("/proc/self/ns/" + name)
		if err != nil {
			return err
		}
		fd, err := unix.Open(dir+"/ns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &fail.PathError{Path: dir + "/ns/" + name, Err: err}
		}
		a.Descriptors()[FileSpace+name] = fd
		a.Spaces = append(a.Spaces, Space{name, id, id == own})
	}
	root, err := unix.Open(dir+"/root", walk.OpenDir, 0)
	if err != nil {
		return &fail.PathError{Path: dir + "/root", Err: err}
	}
	a.Descriptors()[FileRoot] = root
	limits, err := proc.ReadAll(dir + "/limits") // prlimit(2) needs a capability if the task has another user id
	if err != nil {
		return err
	}
	if a.Limits, err = resourceLimits(limits); err != nil {
		return err
	}
	status, err := proc.ReadAll(dir + "/status")
	if err != nil {
		return err
	}
	a.UIDs, a.GIDs, a.Groups = proc.StatusField(status, "Uid"), proc.StatusField(status, "Gid"), proc.StatusField(status, "Groups")
	a.Filters = proc.StatusField(status, "Seccomp_filters")
	umask, err := strconv.ParseUint(proc.StatusField(status, "Umask"), 8, 32) // since Linux 4.7
	if err != nil {
		return err
	}
	a.Umask = uint32(umask)
	if a.Cgroups, err = distinctGroups(dir + "/cgroup"); err != nil {
		return err
	}
	a.SetGroups, a.Label = line(dir+"/setgroups"), line(dir+"/attr/current")
	return nil
}

// distinctGroups returns the lines of /proc/PID/cgroup in which a process differs from the launcher. path is that file.
func distinctGroups(path string) (string, error) {
	its, err := proc.ReadAll(path)
	if err != nil {
		return "", err
	}
	launchers, err := proc.ReadAll("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	own := ""
	for line := range strings.Lines(string(its)) {
		if !strings.Contains("\n"+string(launchers), "\n"+line) {
			own += line
		}
	}
	return own, nil
}

// resourceLimits parses a table of limits (proc_pid_limits(5)). After a head, the kernel writes the limits in the
// order of their numbers, each with a name of 26 bytes.
func resourceLimits(text []byte) ([]ResourceLimit, error) {
	const count, name = 16, 26 // RLIM_NLIMITS
	list := make([]ResourceLimit, 0, count)
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("Limit ")) {
			continue
		}
		var f []string
		if len(line) > name {
			f = strings.Fields(string(line[name:]))
		}
		if len(f) < 2 {
			return nil, errors.New("unexpected line " + strconv.Quote(string(line)))
		}
		l := ResourceLimit{Resource: len(list)}
		for i, to := range [...]*uint64{&l.Soft, &l.Hard} {
			var err error
			if *to, err = strconv.ParseUint(f[i], 10, 64); f[i] == "unlimited" {
				*to = policy.Unlimited
			} else if err != nil {
				return nil, errors.New("unexpected limit " + strconv.Quote(f[i]))
			}
		}
		list = append(list, l)
	}
	if len(list) != count {
		return nil, errors.New("a table of " + strconv.Itoa(len(list)) + " limits, not of " + strconv.Itoa(count))
	}
	return list, nil
}

// line returns the content of a file that has one line, or "" if the file cannot be read.
func line(path string) string {
	text, err := proc.ReadSome(path, 4096)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(text), "\x00\n")
}

// Close closes the descriptors.
func (a *Attached) Close() {
	if a == nil {
		return
	}
	for name, fd := range a.fds {
		unix.Close(fd)
		delete(a.fds, name)
	}
}

// Send returns the descriptors for another process, to send with a message by SCM_RIGHTS (unix(7)). The first is a
// sealed file that holds the remaining data; nobody can change its content. The other descriptors still belong to a.
func (a *Attached) Send() ([]int, error) {
	text := pack(a)
	file, err := unix.MemfdCreate("attach", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, &fail.Error{Op: "attach: memfd_create", Err: err}
	}
	_, err = unix.Pwrite(file, text, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(file), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		unix.Close(file)
		return nil, &fail.Error{Op: "attach: write", Err: err}
	}
	fds := []int{file}
	for _, name := range a.Files {
		fds = append(fds, a.fds[name])
	}
	return fds, nil
}

// Receive makes an Attached from the descriptors of Send in another process. It owns the descriptors, even if it fails.
func Receive(fds []int) (*Attached, error) {
	if len(fds) == 0 {
		return nil, &fail.Error{Op: "attach", Err: errors.New("no descriptor arrived")}
	}
	text, err := proc.ReadAll("/proc/self/fd/" + strconv.Itoa(fds[0]))
	unix.Close(fds[0])
	if err != nil {
		text = nil
	}
	return newAttached(text, fds[1:])
}

// newAttached makes an Attached from its text and its descriptors. It checks that each descriptor is what the text
// says.
func newAttached(text []byte, fds []int) (*Attached, error) {
	a := &Attached{fds: map[string]int{}}
	err := unpack(text, a)
	if err == nil && len(a.Files) != len(fds) {
		err = errors.New(strconv.Itoa(len(fds)) + " descriptors arrived for " + strconv.Itoa(len(a.Files)) + " files")
	}
	for i, fd := range fds {
		name := "unknown" + strconv.Itoa(i)
		if err == nil {
			name = a.Files[i]
		}
		if _, twice := a.fds[name]; twice {
			err = errors.New(name + " arrived twice")
			unix.Close(fd)
			continue
		}
		a.fds[name] = fd
	}
	if err == nil {
		err = a.check()
	}
	if err != nil {
		a.Close()
		return nil, &fail.Error{Op: "attach", Err: err, Hint: "is the sandbox of another version of cordon?"}
	}
	return a, nil
}

// check verifies that each descriptor is the file that the text says it is.
func (a *Attached) check() error {
	if a.Profile == nil {
		return errors.New("there is no profile")
	}
	for i := range host.Kinds {
		k := &host.Kinds[i]
		s := a.Space(k.Name)
		if s == nil && k.Name == "time" {
			continue
		}
		fd, ok := a.fds[FileSpace+k.Name]
		if s == nil || !ok {
			return errors.New("there is no " + k.Name + " namespace")
		}
		kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
		var st unix.Stat_t
		if err == nil {
			err = unix.Fstat(fd, &st)
		}
		if err != nil || uint64(kind) != k.Flag || s.ID != k.Name+":["+strconv.FormatUint(st.Ino, 10)+"]" {
			return errors.New("what arrived as the " + k.Name + " namespace is another thing")
		}
	}
	var st unix.Stat_t
	if fd, ok := a.fds[FileRoot]; !ok || unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return errors.New("the root is no directory")
	}
	if fd, ok := a.fds[FileInit]; !ok || unix.PidfdSendSignal(fd, 0, nil, 0) == unix.EBADF {
		return errors.New("there is no pidfd of init")
	}
	return nil
}

// Space returns the task's namespace of a kind, or nil if there is none.
func (a *Attached) Space(kind string) *Space {
	for i := range a.Spaces {
		if a.Spaces[i].Kind == kind {
			return &a.Spaces[i]
		}
	}
	return nil
}

// Ended reports whether init, and with it the sandbox, has ended.
func (a *Attached) Ended() bool {
	fd, ok := a.fds[FileInit]
	return ok && loop.Readable(fd)
}

// ErrSandboxEnded reports that no program can be started in the sandbox any more.
var ErrSandboxEnded = &fail.Error{Op: "exec", Err: errors.New("the sandbox has ended")}

// HasGroup reports whether the sandbox's task is in a group. g is the group's number as /proc/PID/status shows it
// (proc_pid_status(5)).
func (a *Attached) HasGroup(g string) bool {
	return slices.Contains(strings.Fields(a.Groups), g) || slices.Contains(strings.Fields(a.GIDs), g)
}

// CheckRoot checks that path is the sandbox's root directory: the same mount, and the same directory on it.
func (a *Attached) CheckRoot(path string) error {
	var want, got unix.Statx_t
	const mask = unix.STATX_INO | unix.STATX_MNT_ID
	if err := unix.Statx(a.fds[FileRoot], "", unix.AT_EMPTY_PATH, mask, &want); err != nil {
		return &fail.Error{Op: "statx of the sandbox's root", Err: err}
	}
	if err := unix.Statx(unix.AT_FDCWD, path, 0, mask, &got); err != nil {
		return &fail.Error{Op: "read back the root", Err: err}
	}
	if want.Ino != got.Ino || want.Mnt_id != got.Mnt_id || want.Dev_major != got.Dev_major || want.Dev_minor != got.Dev_minor {
		return &fail.Error{Op: "read back the root", Err: errors.New("it is not the sandbox's")}
	}
	return nil
}

// CheckAround checks that the child has inherited from its launcher the same restrictions as the sandbox's task:
// filters, groups and security labels. status is the text of the child's status file.
func (a *Attached) CheckAround(status []byte, dir string) error {
	for _, x := range [...]struct{ key, want string }{{"Uid", a.UIDs}, {"Gid", a.GIDs}} {
		if got := proc.StatusField(status, x.key); got != x.want {
			return &fail.Error{Op: "read back the ids", Err: errors.New(x.key + " is " + got + ", and the sandbox's task has " + x.want)}
		}
	}
	for _, g := range strings.Fields(proc.StatusField(status, "Groups")) {
		if !a.HasGroup(g) {
			return &fail.Error{Op: "read back the ids", Err: errors.New("group " + g + " is none of the sandbox's")}
		}
	}
	if got := proc.StatusField(status, "Seccomp_filters"); proc.Number(got) < proc.Number(a.Filters) {
		return &fail.Error{Op: "exec", Err: errors.New("the sandbox was started under " + a.Filters + " filters, and this is run under " + got),
			Hint: "run cordon exec where you started the sandbox"}
	}
	groups, err := proc.ReadAll(dir + "/cgroup")
	if err != nil {
		return &fail.Error{Op: "read back the cgroups", Err: err}
	}
	for line := range strings.Lines(a.Cgroups) {
		if !strings.Contains("\n"+string(groups), "\n"+line) {
			return &fail.Error{Op: "read back the cgroups", Err: errors.New("it is not in " + strings.TrimSpace(line)), Hint: "run cordon exec where you started the sandbox"}
		}
	}
	if label := line(dir + "/attr/current"); label != a.Label {
		return &fail.Error{Op: "exec", Err: errors.New("the sandbox's task has the label " + a.Label + " of the kernel's security module, and this has " + label),
			Hint: "run cordon exec where you started the sandbox"}
	}
	return nil
}

// Terminal returns those variables that describe the terminal and that the sandbox's profile keeps, for Cmd.Env.
func (a *Attached) Terminal(getenv func(string) string) (env []string) {
	for _, name := range terminalVariables {
		if value := getenv(name); value != "" && a.Profile.Env.Keeps(name) {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// terminalVariables lists the variables that describe the terminal that shows a program's output. This is the caller's
// terminal, not the sandbox's.
var terminalVariables = [...]string{"TERM", "COLORTERM", "NO_COLOR"}
