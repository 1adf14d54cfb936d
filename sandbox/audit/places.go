package audit

// This file finds the files, addresses and capabilities that a call is about, and what the sandbox would have answered.

import (
	"net/netip"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/recording"
	"cordon/sandbox"
)

// seen is called for each file and address when the program first uses it.
func (a *Auditor) seen(e *recording.Event) {
	switch e.Kind {
	case recording.KindPath:
		a.path(e)
	case recording.KindNet:
		a.address(e)
	}
}

// path asks the model of the sandbox about a file.
func (a *Auditor) path(e *recording.Event) {
	if a.callsOnly && e.Exe < 0 { // the launcher has started the program
		return
	}
	a.writes(e)
	asked := e.Path
	if e.Via != "" && e.Access&names == 0 {
		asked = e.Via
	}
	r := a.answer(asked, e)
	if r.Allowed && e.Access&recording.Execute != 0 {
		r = a.query.SetID(asked)
	}
	if r.Allowed {
		if e.Access&recording.Create != 0 && (e.Type == recording.TypeUnknown || !a.query.Path(process(asked), sandbox.Access{}).Allowed) {
			a.made[asked] = true
		}
		return
	}
	if !a.counts(r, asked, e.Access) {
		return
	}
	key := place{asked, r.Layer, r.Errno, r.Rule}
	if d := a.places[key]; d != nil {
		d.Access |= e.Access
		d.events = append(d.events, e)
		return
	}
	d := &Denial{Reason: r, Object: asked, Access: e.Access, Basis: Evaluated, events: []*recording.Event{e}}
	a.places[key] = d
	a.add(d)
	if e.Exe < 0 { // the launcher has made the call
		d.Call = "execve(" + strconv.Quote(e.Path) + ")"
	}
}

// looks are the ways to use a file that do not change it.
const looks = recording.Read | recording.List | recording.Stat | recording.Map | recording.Execute | recording.Chdir

var allowed = &sandbox.Reason{Allowed: true}

// answer is a faster form of meets for the most frequent case: a file of the host that the sandbox shows unchanged.
func (a *Auditor) answer(asked string, e *recording.Event) *sandbox.Reason {
	plain := e.Via == "" && e.Errno == "" && e.Type != recording.TypeUnknown && e.Type != recording.TypeLink && e.Access&^looks == 0
	if plain && a.madeIn(asked) == "" && a.query.Same(asked, e.Type == recording.TypeDir, access(e)) {
		return allowed
	}
	return a.meets(asked, e)
}

// place identifies a kind of denied path.
type place struct {
	path, layer, errno string
	rule               policy.Pos
}

// names are the ways to use the name of a file in its directory. They follow no link.
const names = recording.Delete | recording.Rename | recording.Link

// meets returns what the sandbox would have answered to the program.
func (a *Auditor) meets(asked string, e *recording.Event) *sandbox.Reason {
	want, dir := access(e), path.Dir(asked)
	if place := a.madeIn(asked); place != "" {
		asked, dir = place, place
	}
	asked = process(asked)
	makes := e.Access&recording.Create != 0 && !want.Create
	switch {
	case e.Access&recording.Connect != 0:
		return a.query.Socket(asked)
	case makes && (e.Type == recording.TypeUnknown || e.Access&names != 0): // mkdir, symlink, the target of rename
		return a.query.Path(dir, sandbox.Access{Write: true})
	case e.Access&names != 0:
		if r := a.query.Path(asked, sandbox.Access{}); !r.Allowed {
			return r
		}
		return a.query.Path(dir, sandbox.Access{Write: true})
	}
	return a.query.Path(asked, want) // mkdir of an existing path fails with EEXIST first
}

// access returns the access that the layers check. An open with O_CREAT that creates the file counts as a write,
// whatever its other flags are.
func access(e *recording.Event) sandbox.Access {
	a := e.Access
	opened := a&(recording.Read|recording.Write) != 0
	makes := a&recording.Create != 0 && opened
	return sandbox.Access{
		Read:    a&(recording.Read|recording.List|recording.Map) != 0,
		Write:   a&(recording.Write|recording.Truncate|recording.Attr) != 0 || makes && e.Type == recording.TypeUnknown,
		Execute: a&recording.Execute != 0,
		Create:  makes,
	}
}

// madeIn handles files that the program has created where the sandbox would have a file system of its own, so that the
// model does not know them. It returns the directory in which the file was created, or "" for any other file.
func (a *Auditor) madeIn(asked string) (dir string) {
	if len(a.made) == 0 {
		return ""
	}
	for p := asked; p != "/"; p = path.Dir(p) {
		if a.made[p] {
			dir = path.Dir(p)
		}
	}
	return dir
}

// counts reports whether the profile is the reason for the denial. It is not if the file exists nowhere, or if the
// caller lacks the permission too. A hidden or masked file still has a name, which stat(2) shows.
func (a *Auditor) counts(r *sandbox.Reason, asked string, want recording.Access) bool {
	switch {
	case r.Layer != "file":
		return want != recording.Stat || r.Errno != "EACCES" && r.Errno != ""
	case r.Errno != "EACCES":
		return false
	}
	var mode uint32
	for _, x := range []struct {
		is   recording.Access
		mode uint32
	}{{recording.Read | recording.List, unix.R_OK}, {recording.Writes, unix.W_OK}, {recording.Execute, unix.X_OK}} {
		if want&x.is != 0 {
			mode |= x.mode
		}
	}
	if want&(recording.Create|names) != 0 {
		asked = path.Dir(asked)
	}
	return a.files.Access(asked, mode) == nil
}

// process replaces every pid in a path below /proc by 1, because nobody knows which process of the sandbox it would be.
func process(asked string) string {
	rest, ok := strings.CutPrefix(asked, "/proc/")
	if !ok {
		return asked
	}
	number, below, _ := strings.Cut(rest, "/")
	if _, err := strconv.ParseUint(number, 10, 32); err != nil && number != "self" && number != "thread-self" {
		return asked
	}
	return path.Join("/proc/1", below)
}

// address asks the model of the sandbox about a socket address.
func (a *Auditor) address(e *recording.Event) {
	n := &e.Net
	ip, err := netip.ParseAddr(n.Addr)
	abstract := strings.HasPrefix(n.Addr, "@")
	if err != nil && !abstract {
		return // no layer checks it
	}
	port := strconv.Itoa(int(n.Port))
	local := abstract || ip.IsLoopback() || ip.IsUnspecified()
	key := port
	if abstract {
		key = n.Addr
	}
	if n.Op == "bind" {
		a.bound[key] = true
		if n.Port != 0 && n.Port < unprivilegedPorts {
			a.needs("NET_BIND_SERVICE")
		}
	}
	if local && (n.Op == "bind" || a.bound[key] || n.Port == 0 && !abstract) { // the sandbox has a loopback device too
		return
	}
	if r := a.query.Route(n.Addr, port); !r.Allowed {
		object := n.Addr
		if !abstract {
			object = netip.AddrPortFrom(ip, n.Port).String()
		}
		a.add(&Denial{Reason: r, Object: object, Use: n.Op, Basis: Evaluated, events: []*recording.Event{e}})
	}
}

// unprivilegedPorts is the first port that every user may bind, unless the machine is configured otherwise: ip(7).
const unprivilegedPorts = 1024

type need struct{ call, cap string }

// needs lists calls that always need a capability, and socket, which needs one with certain arguments: capabilities(7).
var needs = [...]need{
	{"mount", "SYS_ADMIN"}, {"umount", "SYS_ADMIN"}, {"umount2", "SYS_ADMIN"}, {"pivot_root", "SYS_ADMIN"}, {"move_mount", "SYS_ADMIN"},
	{"mount_setattr", "SYS_ADMIN"}, {"fsopen", "SYS_ADMIN"}, {"swapon", "SYS_ADMIN"}, {"swapoff", "SYS_ADMIN"},
	{"sethostname", "SYS_ADMIN"}, {"setdomainname", "SYS_ADMIN"}, {"setns", "SYS_ADMIN"},
	{"chroot", "SYS_CHROOT"}, {"reboot", "SYS_BOOT"}, {"kexec_load", "SYS_BOOT"}, {"kexec_file_load", "SYS_BOOT"},
	{"init_module", "SYS_MODULE"}, {"finit_module", "SYS_MODULE"}, {"delete_module", "SYS_MODULE"},
	{"settimeofday", "SYS_TIME"}, {"clock_settime", "SYS_TIME"}, {"stime", "SYS_TIME"},
	{"acct", "SYS_PACCT"}, {"iopl", "SYS_RAWIO"}, {"vhangup", "SYS_TTY_CONFIG"}, {"open_by_handle_at", "DAC_READ_SEARCH"},
	{"setgroups", "SETGID"}, {"setgroups32", "SETGID"},
	{"socket", ""},
}

// capability returns the capability that a call with these arguments needs, or "" if none is known: packet(7), raw(7).
func capability(call string, args *[6]uint64) string {
	if call == "socket" {
		family, typ := args[0], args[1]&0xf
		inet := family == unix.AF_INET || family == unix.AF_INET6
		if family == unix.AF_PACKET || inet && typ == unix.SOCK_RAW {
			return "NET_RAW"
		}
	}
	for i := range needs {
		if needs[i].call == call {
			return needs[i].cap
		}
	}
	return ""
}
