package why

// This file predicts, layer by layer, whether a program in the sandbox could do something. It runs nothing: the answers
// come from the compiler's model of the sandbox. Package policy/filter answers questions about system calls. This
// package answers questions about files, programs, capabilities, addresses, processes and limits.

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
)

// Reason is the answer to the question whether a program may do something. The layers are asked in the order in which
// the kernel checks them. The first layer that denies the operation decides.
type Reason struct {
	Allowed  bool
	Layer    string     // the layer that denies: a policy.Layer, or "file" if the host itself would deny it
	Errno    string     // such as "EROFS"; "" if there is none
	Why      string     // the explanation
	Rule     policy.Pos // the line of the profile that decides; the zero Pos for a built-in default
	RuledOut []string   // the layers that allow it, for example "seccomp: openat is allowed (base.yaml:30)"
	Notes    []string

	Try    []Change // changes after which this layer would allow it; empty if no flag would
	Grants string   // what else these changes would allow
	NoFlag string   // why no flag helps
}

// Change is a change of the profile, as a flag and its value: "rw", "/srv".
type Change struct{ Flag, Value string }

// Values of Reason.Layer that are not layers of a profile.
const (
	layerFile   = "file"   // whether a file exists, and its permissions
	layerLimits = "limits" // Profile.Limits
)

// Query answers questions about a profile on a host: what a command could do there.
type Query struct {
	comp *compile.Compilation
	spec filter.Spec
}

// survey lists the phases of compilation that decide what a program sees in the sandbox, in the order of a launch.
var survey = [...]func(*compile.Compilation) error{
	(*compile.Compilation).AddCaches,
	(*compile.Compilation).CheckSupport,
	(*compile.Compilation).FindArch,
	(*compile.Compilation).Namespaces,
	(*compile.Compilation).Identity,
	(*compile.Compilation).Network,
	(*compile.Compilation).BoundingSet,
	(*compile.Compilation).Root,
	(*compile.Compilation).Mounts,
	(*compile.Compilation).Names,
	(*compile.Compilation).Hide,
	(*compile.Compilation).HideLayers,
	(*compile.Compilation).CoverSockets,
	(*compile.Compilation).FindWorkdir,
	(*compile.Compilation).LandlockRules,
}

// NewQuery compiles the profile as far as the questions need it. r.Args may be empty. The errors are those of Compile.
func NewQuery(p *policy.Profile, h *host.Host, r *compile.Request) (*Query, error) {
	q := &Query{comp: &compile.Compilation{Profile: p, Host: h, Req: r, Tree: picture.Tree{Files: h.Files}}}
	phases := survey[:]
	if p.Namespaces.None {
		phases = placeSurvey[:]
	}
	for _, phase := range phases {
		if err := phase(q.comp); err != nil {
			return nil, err
		}
	}
	q.comp.Program.Env = q.comp.Environment()
	var err error
	q.spec, err = p.ProgramFilter()
	return q, err
}

// placeSurvey lists the same phases for a program in place (without namespaces).
var placeSurvey = [...]func(*compile.Compilation) error{
	(*compile.Compilation).SettleInPlace,
	(*compile.Compilation).FindArch,
	(*compile.Compilation).BoundingSet,
	(*compile.Compilation).Root,
	(*compile.Compilation).Mounts,
	(*compile.Compilation).Names,
	(*compile.Compilation).Hide,
	(*compile.Compilation).HideLayers,
	(*compile.Compilation).FindWorkdir,
	(*compile.Compilation).PlaceRules,
}

// PlaceRules returns the rules about calls that apply to a program in place in addition to Filter's rules. For any
// other program it returns nil.
func (q *Query) PlaceRules() []filter.Rule { return q.comp.PlaceCalls() }

// inPlace adapts a reason to a program in place. For such a program nothing is mounted, so Landlock denies what a mount
// would deny.
func (q *Query) inPlace(r *Reason) *Reason {
	if q.comp.InPlace() && !r.Allowed && r.Layer == string(policy.LayerMount) {
		r.Layer, r.Errno = string(policy.LayerLandlock), "EACCES"
		r.Why = strings.Replace(r.Why, " is mounted ", " is ", 1)
	}
	return r
}

// Access says how a program wants to use a path. Create means that the program makes the file if it does not exist.
type Access struct{ Read, Write, Execute, Create bool }

// Open answers whether a program may open a file or directory. path is a path in the sandbox; a relative path starts
// at the working directory.
func (q *Query) Open(path string, a Access) *Reason {
	r := &Reason{}
	if q.ofProcess(r, path, a) {
		return q.inPlace(r)
	}
	inside, ok := q.resolve(r, path)
	if ok && q.present(r, inside, a) && q.openCall(r, path, a) && q.mountAllows(r, inside, a) && q.landlockAllows(r, inside, a) && q.permitted(r, inside, a) {
		r.Allowed = true
	}
	return q.inPlace(r)
}

// Path does the same as Open, for a caller that knows that the filter allows the call. If a is the zero value, Path
// answers whether the path exists. It does not use cached results about files.
func (q *Query) Path(path string, a Access) *Reason {
	clear(q.comp.Tree.Known) // a running program may have changed files
	r := &Reason{}
	inside, ok := q.resolve(r, path)
	r.Allowed = ok && q.present(r, inside, a) && q.mountAllows(r, inside, a) && q.landlockAllows(r, inside, a) && q.permitted(r, inside, a)
	return r
}

// Same is a fast check for callers with thousands of paths. True means that the sandbox shows the host's file with that
// name, that the file exists, that the path contains no symbolic link, and that the layers allow the access. False
// means unknown: the caller must call Path.
func (q *Query) Same(path string, isDir bool, a Access) bool {
	c := q.comp
	part := c.Tree.At(path)
	if part == nil || part.Opaque || part.Source == "" || part.Made != nil || c.Tree.HostPath(path) != path {
		return false
	}
	if a.Write || a.Create || a.Execute && part.Noexec {
		return false
	}
	if c.Land.On {
		granted := grantedAt(c, path)
		for _, need := range neededRights(a, isDir, true) {
			if c.Land.Handled&need.right&^granted != 0 {
				return false
			}
		}
	}
	clear(c.Tree.Known)
	return closedAbove(c, path) == "" && !deniedByMode(c, path, path, a)
}

// deny records a denial in the reason, and returns false.
func (r *Reason) deny(layer string, errno syscall.Errno, why string, rule policy.Pos) bool {
	r.Layer, r.Why, r.Rule = layer, why, rule
	if errno != 0 {
		r.Errno = unix.ErrnoName(errno)
	}
	return false
}

func (r *Reason) pass(what string) bool {
	r.RuledOut = append(r.RuledOut, what)
	return true
}

func (q *Query) resolve(r *Reason, path string) (string, bool) {
	inside, err := q.comp.Tree.Resolve(q.absolute(path))
	if err != nil {
		return "", r.deny(layerFile, unix.ELOOP, fail.Bare(err).Error(), policy.Pos{})
	}
	return inside, true
}

// absolute returns an absolute path without "." and "..".
func (q *Query) absolute(path string) string {
	c := q.comp
	if strings.HasPrefix(path, "~") && c.Host.Home != "" {
		path = c.Host.Home + path[1:]
	}
	if !strings.HasPrefix(path, "/") {
		path = paths.Join(c.Workdir, path)
	}
	return paths.Clean(path)
}

// present asks whether a mount of the sandbox shows the path.
func (q *Query) present(r *Reason, inside string, a Access) bool {
	t := &q.comp.Tree
	part := t.At(inside)
	if part.Opaque && part.What == "masked" {
		r.NoFlag = "a proc mount with a mask of its own shows it: --mount '{proc: " + procTarget(q.comp) + ", mask: [...]}'"
		return r.deny(string(policy.LayerMount), 0, inside+" is masked: it appears to be empty", part.Rule)
	}
	if part.Opaque && part.What == compile.CoveredSocket {
		r.Try = append(r.Try, Change{"ro", inside})
		return r.deny(string(policy.LayerMount), unix.EACCES, inside+" is "+part.What, part.Rule)
	}
	if part.Opaque && part.Empty && inside == part.Target && !a.Write {
		r.Notes = append(r.Notes, inside+" is hidden, and shown as if it were empty: "+part.Rule.Short())
		return r.pass("mount: " + inside + " is there, and empty")
	}
	rule := q.comp.HiddenBy(inside)
	if part.Opaque {
		r.NoFlag = "no flag shows it. " + withoutRule(part.Rule)
		if rule != nil {
			r.NoFlag = q.comp.LiftHint(rule, inside, true)
		}
		return r.deny(string(policy.LayerMount), unix.EACCES, inside+" is "+part.What, part.Rule)
	}
	if _, ok := t.Stat(inside); ok {
		return r.pass("mount: " + inside + " is there, by " + part.What)
	}
	if dir, _ := paths.Split(inside); a.Create && part.Write && part.What != "a device" {
		if isDir, exists := t.Stat(dir); exists && isDir {
			return r.pass("mount: " + inside + " can be made, in " + part.What)
		}
	}
	if part.What == "a device" || part.Source != "" && part.Made == nil || q.comp.Profile.Root.Kind == policy.RootDir {
		return q.absentOnHost(r, inside, a)
	}
	info, err := q.comp.Host.Files.Stat(inside)
	if err != nil { // the path does not exist on the host either
		return q.absentOnHost(r, inside, a)
	}
	if rule != nil { // the hide rule would also hide it under a new bind
		r.NoFlag = q.comp.LiftHint(rule, inside, false)
		return r.deny(string(policy.LayerMount), unix.EACCES, inside+" is hidden", rule.Pos)
	}
	r.Try, r.Grants = showing(q.comp, inside, a.Write), grants(inside, info.IsDir(), a.Write)
	return r.deny(string(policy.LayerMount), unix.ENOENT, inside+" of the host is not shown: "+part.What+" is mounted at "+part.Target, part.Rule)
}

// showing returns the binds that would show a path of the host. Links in the path do not exist in the sandbox, so the
// bind names the path to which they lead.
func showing(c *compile.Compilation, path string, write bool) []Change {
	flag := "ro"
	if write {
		flag = "rw"
	}
	host := picture.Tree{Files: c.Host.Files}
	host.Add(picture.Part{Target: "/", Source: "/"})
	if to, err := host.Resolve(path); err == nil && to != path {
		return []Change{{"mount", "{bind: " + strconv.Quote(to) + ", target: " + strconv.Quote(path) + ", mode: " + flag + "}"}}
	}
	return []Change{{flag, path}}
}

// makingWritable returns the flags that would make an existing path writable. If the sandbox's root is a directory of
// the host, a bind would put the host's file in place of the root's own.
func makingWritable(c *compile.Compilation, path string) []Change {
	host := c.Tree.HostPath(path)
	switch {
	case c.Profile.Root.Kind != policy.RootDir || host == "" || host == path:
		return []Change{{"rw", path}}
	case path == "/":
		return []Change{{"root-mode", "rw"}}
	}
	return []Change{{"mount", "{bind: " + strconv.Quote(host) + ", target: " + strconv.Quote(path) + ", mode: rw}"}}
}

// absentOnHost answers for a path that does not exist on the host. No bind could show such a path. But the program can
// create the file if its directory is writable.
func (q *Query) absentOnHost(r *Reason, inside string, a Access) bool {
	t := &q.comp.Tree
	dir, _ := paths.Split(inside)
	isDir, exists := t.Stat(dir)
	part := t.At(inside)
	if a.Write && !exists && q.comp.Profile.Root.Kind != policy.RootDir {
		if info, err := q.comp.Host.Files.Stat(dir); err == nil && info.IsDir() {
			r.Try, r.Grants = showing(q.comp, dir, true), grants(dir, true, true)
			return r.deny(string(policy.LayerMount), unix.ENOENT, dir+" of the host is not shown: "+part.What+" is mounted at "+part.Target, part.Rule)
		}
	}
	if !a.Write || !exists || !isDir {
		if a.Execute && part.Noexec {
			return q.mountAllows(r, inside, a)
		}
		if host := t.HostPath(inside); host != "" {
			if _, err := t.Lstat(host); errors.Is(err, fs.ErrPermission) {
				return r.deny(layerFile, unix.EACCES, "a directory above "+host+" lets neither you nor the task pass", policy.Pos{})
			}
		}
		return r.deny(layerFile, unix.ENOENT, inside+" does not exist, not even on the host", policy.Pos{})
	}
	if part.Write {
		return r.pass("mount: " + inside + " can be made, in " + part.What)
	}
	r.Try, r.Grants = makingWritable(q.comp, dir), grants(dir, true, true)
	if part.Source == "" {
		r.Try, r.Grants = []Change{{"tmpfs", dir}}, "an empty "+dir+" in memory, in place of the existing file"
	}
	return r.deny(string(policy.LayerMount), unix.EROFS, dir+" is mounted read-only, by "+part.What, part.Rule)
}

// mountAllows asks whether the flags of the mount at the path allow the access.
func (q *Query) mountAllows(r *Reason, inside string, a Access) bool {
	part := q.comp.Tree.At(inside)
	switch {
	case part.What != "a device" && isDevice(q.comp, inside):
		r.Try, r.Grants = showing(q.comp, inside, a.Write), "the device "+inside
		return r.deny(string(policy.LayerMount), unix.EACCES, inside+" is a device, and this mount is nodev: "+part.What, part.Rule)
	case part.What == "a device" && a.Write && !part.Write && q.comp.Land.On:
		r.Try, r.Grants = []Change{{"rw", part.Source}}, "writing to the device "+part.Source
		return r.deny(string(policy.LayerLandlock), unix.EACCES, inside+" is a device that is bound read-only", part.Rule)
	case a.Write && !part.Write && part.What != "a device":
		isDir, _ := q.comp.Tree.Stat(inside)
		r.Try, r.Grants = makingWritable(q.comp, inside), grants(inside, isDir, true)
		if part.Source == "" || part.What == "proc" || strings.Contains(part.What, "proc") || part.What == "sysfs" {
			r.Try, r.Grants, r.NoFlag = nil, "", "it belongs to the launcher or the kernel, and stays read-only"
		}
		return r.deny(string(policy.LayerMount), unix.EROFS, inside+" is mounted read-only, by "+part.What, part.Rule)
	case a.Execute && part.Noexec:
		r.NoFlag = "the mount says noexec; " + withoutRule(part.Rule)
		return r.deny(string(policy.LayerMount), unix.EACCES, inside+" is mounted noexec, by "+part.What, part.Rule)
	}
	return r.pass("mount: " + part.What + " at " + part.Target + map[bool]string{true: ", writable", false: ", read-only"}[part.Write])
}

// isDevice reports whether a path in the sandbox shows a device of the host.
func isDevice(c *compile.Compilation, inside string) bool {
	host := c.Tree.HostPath(inside)
	if host == "" {
		return false
	}
	info, err := c.Tree.Lstat(host)
	return err == nil && info.Mode()&fs.ModeDevice != 0
}

// openCall asks the filter about the call with which libc opens the file.
func (q *Query) openCall(r *Reason, path string, a Access) bool {
	flags := "O_RDONLY"
	switch {
	case a.Execute:
		return q.call(r, "execve")
	case a.Read && a.Write:
		flags = "O_RDWR"
	case a.Write:
		flags = "O_WRONLY"
	}
	return q.call(r, "openat(AT_FDCWD, "+strconv.Quote(path)+", "+flags+")")
}

// call asks the filter about a call. The text may leave out arguments. If the filter denies the call only for some
// values of these arguments, the call counts as allowed.
func (q *Query) call(r *Reason, text string) bool {
	query, err := filter.ParseQuery(text, q.comp.Arch)
	if err != nil {
		return r.pass("seccomp: " + err.Error())
	}
	found, err := filter.Ask(q.spec, q.comp.Arch, query)
	if err != nil || len(found) == 0 {
		return r.pass("seccomp: no answer for " + text)
	}
	for i := range found {
		if k := found[i].Action.Kind; k == filter.Allow || k == filter.Log {
			return r.pass("seccomp: " + query.Call + " is allowed" + fromText(found[i].From))
		}
	}
	v := &found[0]
	r.Rule = q.comp.Profile.Source("syscalls.default")
	if v.By == filter.ByDefault {
		r.Try, r.Grants = []Change{{"allow-syscall", query.Call}}, "the call with every argument"
	} else {
		r.NoFlag = "cordon why " + strconv.Quote(text) + " says what would allow the call"
	}
	r.deny(string(policy.LayerSeccomp), 0, query.Call+" is "+v.Why+fromText(v.From)+": "+v.Action.String(), r.Rule)
	return false
}

func procTarget(c *compile.Compilation) string {
	for i := range c.Tree.Parts {
		if c.Tree.Parts[i].What == "proc" {
			return c.Tree.Parts[i].Target
		}
	}
	return "/proc"
}
