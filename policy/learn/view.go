package learn

import (
	"path"
	"slices"
	"strings"

	"cordon/policy"
	"cordon/policy/recording"
)

// view is the file tree that a profile shows, as far as paths alone tell. It assumes that a bind contains the files
// that the recording has seen there.
type view struct {
	p       *policy.Profile
	w       *world
	targets map[string]int  // index of the last mount on each target
	spine   map[string]bool // directories above a target, which cordon creates
	at      map[string]int  // by directory: index of the mount that contains the directory; -1 for the root
	hide    *secrets
	links   map[string]string
}

func newView(p *policy.Profile, w *world) *view {
	v := &view{p: p, w: w, targets: map[string]int{}, spine: map[string]bool{"/": true}, at: map[string]int{}, links: map[string]string{}}
	for i := range p.Mounts {
		m := &p.Mounts[i]
		target := w.expand(m.Place())
		if target == "" {
			continue
		}
		v.targets[target] = i
		if m.Kind == policy.MountSymlink {
			v.links[target] = m.Source
			if !strings.HasPrefix(m.Source, "/") {
				v.links[target] = path.Join(path.Dir(target), m.Source)
			}
		}
		for dir := path.Dir(target); !v.spine[dir]; dir = path.Dir(dir) {
			v.spine[dir] = true
		}
	}
	patterns := make([]string, len(p.Hide))
	for i, h := range p.Hide {
		patterns[i] = h.Pattern
	}
	v.hide = newSecrets(w, patterns, nil)
	return v
}

// mount returns the index of the mount that contains a path, or -1 for the root. It is the last mount whose target is
// the path or a directory above it.
func (v *view) mount(p string) int {
	i := v.dirMount(path.Dir(p))
	if own, ok := v.targets[p]; ok {
		return max(i, own)
	}
	return i
}

func (v *view) dirMount(dir string) int {
	if i, ok := v.at[dir]; ok {
		return i
	}
	i := -1
	if dir != "/" {
		i = v.dirMount(path.Dir(dir))
	}
	if own, ok := v.targets[dir]; ok {
		i = max(i, own)
	}
	v.at[dir] = i
	return i
}

// refusal is the reason why the program cannot use a path as it did in the recording. The zero refusal means that it
// can.
type refusal struct {
	layer policy.Layer
	why   string
	at    policy.Pos // the position of the rule
}

// looks are the ways to use a file that work even if the file is unreadable or the directory empty.
const looks = recording.Stat | recording.Chdir

// check reports whether access to a path is possible.
func (v *view) check(p string, access recording.Access, kind recording.FileType) refusal {
	if access&^looks != 0 && v.hide.has(p) {
		return refusal{policy.LayerMount, "it is hidden", v.hiddenBy(p)}
	}
	if _, ok := v.links[p]; ok && kind == recording.TypeLink && access&writes == 0 {
		return refusal{} // the link itself
	}
	i := v.mount(p)
	var r refusal
	if i < 0 {
		r = v.inRoot(p, access)
	} else {
		r = v.inMount(&v.p.Mounts[i], p, access, kind)
	}
	if r.why == "" {
		r = v.landlock(p, access)
	}
	return r
}

func (v *view) hiddenBy(p string) policy.Pos {
	for _, h := range v.p.Hide {
		if one := newSecrets(v.w, []string{h.Pattern}, nil); one.has(p) {
			return h.Pos
		}
	}
	return policy.Pos{}
}

func (v *view) inRoot(p string, access recording.Access) refusal {
	at := v.p.Source("root")
	switch r := &v.p.Root; {
	case r.Kind == policy.RootEmpty:
		return v.skeleton(p, access, at)
	case r.Overlay != "" || r.Write || access&writes == 0:
		return refusal{}
	}
	return refusal{policy.LayerMount, "the root is read-only", at}
}

// skeleton decides about a path that no mount shows. A directory above a mount exists, but contains only the way to the
// mount.
func (v *view) skeleton(p string, access recording.Access, at policy.Pos) refusal {
	switch {
	case v.spine[p] && access&(writes|recording.Execute|recording.Map|recording.Connect) == 0:
		return refusal{}
	case v.spine[p]:
		return refusal{policy.LayerMount, "it is a directory that only leads to mounts, and read-only", at}
	}
	return refusal{policy.LayerMount, "no mount shows it", at}
}

func (v *view) inMount(m *policy.Mount, p string, access recording.Access, kind recording.FileType) refusal {
	writes := access&writes != 0
	target := v.w.expand(m.Place())
	switch m.Kind {
	case policy.MountBind:
		switch {
		case m.NoExec && access&(recording.Execute|recording.Map) != 0:
			return refusal{policy.LayerMount, "it is mounted noexec", m.Pos}
		case writes && !m.Write:
			return refusal{policy.LayerMount, "it is mounted read-only", m.Pos}
		case p == target && access&(recording.Delete|recording.Rename|recording.Create) != 0:
			return refusal{policy.LayerMount, "it is a mount's own place, and cannot be replaced", m.Pos}
		}
		return refusal{}
	case policy.MountTmpfs:
		if p == target || v.spine[p] || v.w.own(p) {
			return refusal{}
		}
		return refusal{policy.LayerMount, "it is in an empty tmpfs", m.Pos}
	case policy.MountProc:
		return v.inProc(m, target, p, writes)
	case policy.MountDev:
		return v.inDev(m, target, p, kind)
	case policy.MountSysfs:
		if strings.HasPrefix(p, target+cgroups[len("/sys"):]+"/") {
			return refusal{policy.LayerMount, "a sysfs has no cgroup files", m.Pos}
		}
		if writes {
			return refusal{policy.LayerMount, "sysfs is read-only", m.Pos}
		}
		return refusal{}
	case policy.MountEmpty, policy.MountDir, policy.MountFile, policy.MountGenerate:
		if p == target && !writes || v.spine[p] {
			return refusal{}
		}
		return refusal{policy.LayerMount, "there is nothing of the host in it", m.Pos}
	}
	return refusal{} // overlay, mqueue; links of the profile have already been followed
}

func (v *view) inProc(m *policy.Mount, target, p string, writes bool) refusal {
	masks, readOnly := m.ProcParts(v.p != nil && v.p.BareProc())
	has := func(list []string) bool {
		return slices.ContainsFunc(list, func(x string) bool { return within(target+"/"+strings.TrimPrefix(x, target+"/"), p) })
	}
	switch {
	case has(masks):
		return refusal{policy.LayerMount, "proc is masked there", m.Pos}
	case writes && has(readOnly):
		return refusal{policy.LayerMount, "proc is read-only there", m.Pos}
	}
	return refusal{}
}

// devices lists the names in a minimal /dev.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty", "pts", "ptmx", "shm", "fd", "stdin", "stdout", "stderr", "console"}

func (v *view) inDev(m *policy.Mount, target, p string, kind recording.FileType) refusal {
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(p, target), "/"), "/")
	switch {
	case name == "" || slices.Contains(devices, name) || v.w.own(p) || v.spine[p]:
		return refusal{}
	case kind == recording.TypeChar || kind == recording.TypeBlock:
		return refusal{policy.LayerMount, "the minimal /dev does not have this device", m.Pos}
	}
	return refusal{policy.LayerMount, "the minimal /dev does not have it", m.Pos}
}

// landlock applies the Landlock lists, which narrow what the mounts show.
func (v *view) landlock(p string, access recording.Access) refusal {
	l := &v.p.Landlock
	if l.Off {
		return refusal{}
	}
	for _, x := range [...]struct {
		list policy.Opt[[]policy.PathItem]
		need recording.Access
		name string
	}{
		{l.Read, recording.Read | recording.List, "read"},
		{l.Write, writes &^ recording.Attr, "write"},
		{l.Execute, recording.Execute, "execute"},
	} {
		if !x.list.Set || access&x.need == 0 || within("/proc", p) || within("/dev", p) {
			continue
		}
		if !slices.ContainsFunc(x.list.V, func(i policy.PathItem) bool { return within(v.w.expand(i.Path), p) }) {
			return refusal{policy.LayerLandlock, "landlock." + x.name + " does not list it", v.p.Source("landlock")}
		}
	}
	return refusal{}
}

// reaches reports whether the name of a link leads to the link's target in the sandbox: by links of the profile, or by
// a link that a mount shows.
func (v *view) reaches(l *Link) bool {
	at := l.Via
	for range 8 { // an ordinary tree has no longer chain of links
		next := v.follow(at)
		if next == at {
			break
		}
		at = next
	}
	if at == l.Path {
		return true
	}
	i := v.mount(at)
	if i < 0 {
		return v.p.Root.Kind != policy.RootEmpty
	}
	switch m := &v.p.Mounts[i]; m.Kind {
	case policy.MountBind, policy.MountOverlay:
		return v.w.expand(m.Place()) != at || m.Source == "" // a bind at the name shows the target of the link
	case policy.MountProc, policy.MountDev, policy.MountSysfs:
		return true
	default:
		return v.w.own(at)
	}
}

// follow replaces the link at the beginning of a path by its target.
func (v *view) follow(p string) string {
	if len(v.links) == 0 {
		return p
	}
	for at := p; at != "/"; at = path.Dir(at) {
		if to, ok := v.links[at]; ok {
			return path.Clean(to + p[len(at):])
		}
	}
	return p
}
