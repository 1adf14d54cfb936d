package why

// This file answers questions about the sandbox's /proc and its init: proc(5), ptrace(2) ("Ptrace access mode
// checking").

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/paths"
)

// ptraced lists the entries of /proc/PID that a process may open only if it may also trace PID.
var ptraced = [...]string{
	"auxv", "clear_refs", "cwd", "environ", "exe", "fd", "fdinfo", "io", "map_files", "maps", "mem", "ns", "numa_maps",
	"pagemap", "personality", "root", "smaps", "smaps_rollup", "stack", "syscall",
}

// links lists the entries of /proc/PID that lead to other files.
var links = [...]string{"cwd", "exe", "fd", "map_files", "ns", "root"}

// ofProcess answers for an entry of /proc that belongs to the program itself or to pid 1. It returns false for other
// paths.
func (q *Query) ofProcess(r *Reason, path string, a Access) bool {
	c := q.comp
	path = q.throughDev(q.absolute(path))
	part := c.Tree.At(path)
	if part == nil || part.What != "proc" {
		return false
	}
	rest, _ := policy.Beneath(part.Target, path)
	who, entry, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	first, _, _ := strings.Cut(entry, "/")
	if who == "1" && c.First() {
		who = "self"
	}
	switch {
	case who == "1" && c.OwnsPID() && entry != "":
		return q.ofInit(r, path, first, a)
	case who == "self" && q.ofStdio(r, path, entry, a):
		return true
	case who != "self" && who != "thread-self" || entry == "" || slices.Contains(links[:], first) && !a.plainRead():
		return false
	case !q.openCall(r, path, a) || !q.landlockAllows(r, path, a):
		return true
	case slices.Contains(links[:], first):
		r.Notes = append(r.Notes, path+" leads to what the program itself has: its own rights decide")
		r.Allowed = r.pass("file: " + path + " is the program's own")
		return true
	}
	info, err := c.Host.Files.Lstat("/proc/self/" + entry)
	switch {
	case err != nil:
		r.deny(layerFile, unix.ENOENT, path+" does not exist", policy.Pos{})
	case a.Write && info.Mode()&0o200 == 0 || a.Execute && !info.IsDir():
		r.deny(layerFile, unix.EACCES, "the kernel never allows that with "+path, policy.Pos{})
	default:
		r.Allowed = r.pass("file: " + path + " is the program's own")
	}
	return true
}

// throughDev follows the links from the sandbox's /dev into /proc: stdin, stdout, stderr and fd.
func (q *Query) throughDev(path string) string {
	dir, name := paths.Split(path)
	for _, x := range [...]struct{ link, rest string }{{path, ""}, {dir, "/" + name}} {
		if n, err := q.comp.Tree.Entry(x.link); err == nil && strings.HasPrefix(n.Link, "/proc/self/fd") {
			return n.Link + x.rest
		}
	}
	return path
}

// ofStdio answers for a standard file by its name below /proc/self/fd. Before the run nobody knows which file that will
// be: the task's own terminal or pipe, or the caller's file.
func (q *Query) ofStdio(r *Reason, path, entry string, a Access) bool {
	number := slices.Index([]string{"fd/0", "fd/1", "fd/2"}, entry)
	if number < 0 || a.Execute || number == 0 && a.Write {
		return false
	}
	if q.openCall(r, path, a) {
		r.Notes = append(r.Notes, path+" leads to the program's own "+compile.StdioNames[number]+": a terminal or a pipe of its own, or a file that you redirect it to")
		if c := q.comp; c.IDs.Own && number > 0 {
			r.Notes = append(r.Notes, "for root's program, a file opens as /dev/"+compile.StdioNames[number]+" alone")
		}
		r.Allowed = r.pass("file: " + path + " is the program's own")
	}
	return true
}

// plainRead reports whether the access only reads.
func (a Access) plainRead() bool { return a.Read && !a.Write && !a.Execute && !a.Create }

// procMount returns the mount of proc in the profile that contains a path.
func (q *Query) procMount(path string) *policy.Mount {
	part := q.comp.Tree.At(path)
	for i := range q.comp.Profile.Mounts {
		if m := &q.comp.Profile.Mounts[i]; m.Kind == policy.MountProc && m.Pos == part.Rule {
			return m
		}
	}
	return nil
}

// ofInit answers for an entry of pid 1. In a sandbox, pid 1 is the sandbox's init, not the task.
func (q *Query) ofInit(r *Reason, path, entry string, a Access) bool {
	mount := q.procMount(path)
	switch {
	case mount != nil && mount.Hidepid != "" && mount.Hidepid != "off":
		errno := unix.ENOENT
		if mount.Hidepid == "noaccess" {
			errno = unix.EACCES
		}
		r.NoFlag = "a proc mount without hidepid shows it"
		r.deny(string(policy.LayerMount), errno, "hidepid="+mount.Hidepid+" of this /proc hides the init, which the program may not trace", mount.Pos)
	case slices.Contains(ptraced[:], entry):
		r.NoFlag = "no flag opens it: the init is the launcher's, and outlives the program"
		r.deny(string(policy.LayerPID), unix.EACCES, "pid 1 is the sandbox's init, and the program may not look into it: ptrace(2)",
			policy.Pos{})
	case a.Write:
		r.NoFlag = "no flag opens it: the init is the launcher's, and outlives the program"
		r.deny(string(policy.LayerPID), unix.EACCES, "pid 1 is the sandbox's init, and "+path+" cannot be written by the program",
			policy.Pos{})
	default:
		return false
	}
	return true
}

// SignalInside answers for a signal to a process in the sandbox, by its pid there. Before a run, only pid 1 is known.
// It is the sandbox's init, and no signal from inside can end it.
func (q *Query) SignalInside(pid int) *Reason {
	c, r := q.comp, &Reason{}
	switch {
	case pid == 1 && c.First():
		r.Allowed = true
		r.Notes = append(r.Notes, "pid 1 is the program itself, which gets only signals that it handles: pid_namespaces(7)")
	case pid != 1 || !c.OwnsPID():
		r.Allowed = true
		r.Notes = append(r.Notes, "nobody knows before the run which process will have that number")
	case c.Land.On && c.Land.Scoped&compile.ScopeSignal != 0:
		r.NoFlag = "landlock: {scope: [abstract-unix-socket]} in a profile lets signals out; the init ignores them"
		r.deny(string(policy.LayerLandlock), unix.EPERM, "pid 1 is the sandbox's init, outside of the program's Landlock domain",
			c.Profile.Source("landlock.scope"))
	default:
		r.Allowed = true
		r.Notes = append(r.Notes, "pid 1 is the sandbox's init, which ignores signals from inside: pid_namespaces(7)")
	}
	return r
}

// ExecDenial returns a hint about the layer that prevents a program from being executed, or "" if none does.
func ExecDenial(c *compile.Compilation, name string) string {
	spec, err := c.Spec()
	if err != nil {
		return ""
	}
	r := (&Query{comp: c, spec: spec}).Exec(name)
	if r.Allowed || r.Why == "" {
		return ""
	}
	text := r.Layer + ": " + r.Why
	if at := r.Rule.Short(); r.Rule != (policy.Pos{}) {
		text += " (" + at + ")"
	}
	return text
}
