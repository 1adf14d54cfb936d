package diff

import (
	"cmp"
	"hash/fnv"
	"path"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/phrase"
)

// A scene describes what the task sees at a path.
type scene struct {
	host    string // the path on the host that the task sees; "" if it sees nothing of the host
	private string // what it sees of the sandbox's own: "an empty tmpfs"; "" if nothing
	kernel  string // the kernel's file system that it sees: "proc", "sysfs", "dev", "mqueue"; "" if none
	masked  []string
	hidepid int
	write   bool
	noexec  bool
	live    bool
	unfit   int    // what happens if the directory is unfit as a working directory: an index into UnfitWords
	spare   bool   // the sandbox may start without the mount
	changes string // for an overlay: tmp, or the host's directory that stores what the task writes
	size    int64  // size of a tmpfs; 0 means half of memory
	perm    uint32 // permission bits of the sandbox's own file or directory; equal to usual if the profile sets none
	usual   uint32
	at      policy.Pos
}

func (s *scene) String() string {
	said := cmp.Or(s.private, s.kernel)
	if s.host != "" {
		said = "the host's " + s.host
		if s.write {
			said += ", writable"
		}
		said += phrase.Prefixed(", under ", s.private)
	}
	said += phrase.Prefixed(", its changes in ", s.changes)
	if s.size > 0 {
		said += " of " + policy.FormatSize(s.size)
	}
	if s.perm != s.usual {
		said += " with mode " + policy.FormatPerm(s.perm)
	}
	if s.hidepid > 0 {
		said += " with hidepid " + policy.HidepidWords[s.hidepid]
	}
	if len(s.masked) > 0 && s.masked[0] != usualMasks {
		said += maskText(s.masked[1:])
	}
	if said == "" {
		return "nothing"
	}
	if s.live {
		said += ", its sockets too"
	}
	if s.noexec {
		said += ", not executable"
	}
	if s.unfit > 0 {
		said += ", but not where nobody works (" + policy.UnfitWords[s.unfit] + ")"
	}
	if s.spare {
		said += ", or nothing if that cannot be had"
	}
	return said
}

// tree compares what the task sees at the root and at every mount of either profile. Between these paths nothing can
// differ.
func (d *differ) tree() {
	paths := []string{"/"}
	for _, p := range []*policy.Profile{d.a, d.b} {
		for i := range p.Mounts {
			paths = append(paths, p.Mounts[i].Place())
		}
	}
	slices.Sort(paths)
	for _, p := range slices.Compact(paths) {
		a, b := sceneAt(d.a, p), sceneAt(d.b, p)
		d.scenes(p, &a, &b)
	}
	// A task that entered its root with chroot(2) can leave it if it has the right capability. After pivot_root(2) it
	// cannot.
	d.order("root.enter", enterText(d.a), enterText(d.b), slices.Index(enters[:], enterText(d.a)), slices.Index(enters[:], enterText(d.b)))
	d.orders()
}

// enters lists the ways to enter a root, the safer one first.
var enters = [...]string{"pivot", "chroot"}

func enterText(p *policy.Profile) string { return cmp.Or(string(p.Root.Enter), enters[0]) }

// orders finds mounts whose order differs between the profiles. It reports two mounts only if one may hide the other
// and the paths do not show whether it does, because it does not know where the home and the working directory are.
func (d *differ) orders() {
	for i := range d.b.Mounts {
		for j := range d.b.Mounts[i+1:] {
			x, y := &d.b.Mounts[i], &d.b.Mounts[i+1+j]
			was, is := lastMount(d.a, y.Place()), lastMount(d.a, x.Place())
			if !mayOverlap(x.Place(), y.Place()) || was < 0 || is < was || lastMount(d.b, x.Place()) != i {
				continue
			}
			c := Change{Section: "mounts", What: "order", From: y.Place() + ", then " + x.Place(), To: x.Place() + ", then " + y.Place(),
				Old: d.a.Mounts[is].Pos, New: y.Pos}
			c.Effect = Widens
			d.add(c)
			c.Effect = Narrows
			d.add(c)
		}
	}
}

// lastMount returns the index of the last mount at a path, or -1 if there is none.
func lastMount(p *policy.Profile, place string) int {
	for i := len(p.Mounts) - 1; i >= 0; i-- {
		if p.Mounts[i].Place() == place {
			return i
		}
	}
	return -1
}

// apart lists directories that contain neither a home nor a working directory.
var apart = []string{"/proc", "/sys", "/dev", "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/boot"}

// mayOverlap reports whether one of two paths may lie above the other, although their texts do not show it.
func mayOverlap(x, y string) bool {
	away := func(p string) bool {
		return slices.ContainsFunc(apart, func(dir string) bool { _, in := policy.Beneath(dir, p); return in })
	}
	return x[:1] != y[:1] && !away(x) && !away(y)
}

func (d *differ) scenes(p string, a, b *scene) {
	if a.String() == b.String() {
		return
	}
	section := "mounts"
	if p == "/" {
		section = "root"
	}
	c := Change{Section: section, What: p, From: a.String(), To: b.String(), Old: a.at, New: b.at}
	wider, narrower := b.gives(a), a.gives(b)
	if wider {
		c.Effect = Widens
		d.add(c)
	}
	if narrower {
		c.Effect = Narrows
		d.add(c)
	}
	if !wider && !narrower {
		c.Effect = Alters
		d.add(c)
	}
}

// gives reports whether s gives the task something that o does not.
func (s *scene) gives(o *scene) bool {
	if s.String() == "nothing" {
		return false
	}
	own := s.usual != 0 && o.usual != 0
	keeps := s.changes != "" && s.changes != "tmp" && s.changes != o.changes
	switch {
	case !s.noexec && o.noexec, s.live && !o.live && !o.write, keeps, s.spare && !o.spare && o.String() != "nothing":
		return true
	case s.unfit == 0 && o.unfit > 0 && s.host != "": // s shows the directory, whereas o shows nothing or does not start
		return true
	case own && (s.perm&^o.perm != 0 || s.room() > o.room()):
		return true
	case s.host != "":
		return s.host != o.host || s.write && !o.write
	case s.kernel != "":
		return s.kernel != o.kernel || s.hidepid < o.hidepid ||
			slices.ContainsFunc(o.masked, func(m string) bool { return !slices.Contains(s.masked, m) && s.masked[0] != usualMasks })
	}
	return false
}

// emptyDir describes what a mount of the kind empty shows.
const (
	emptyDir = "an empty directory, read-only"
	nothing  = -1
)

// room returns how much a tmpfs can hold.
func (s *scene) room() int64 {
	if s.size == 0 {
		return unlimited
	}
	return s.size
}

// sceneAt returns what a path shows: the content of the last mount in the profile's list that is at the path or above it.
func sceneAt(p *policy.Profile, at string) scene {
	for i := len(p.Mounts) - 1; i >= 0; i-- {
		m := &p.Mounts[i]
		rest, ok := policy.Beneath(m.Place(), at)
		if !ok {
			continue
		}
		return sceneOf(m, rest)
	}
	s := scene{at: p.Source("root")}
	switch p.Root.Kind {
	case policy.RootHost:
		s.host = at
	case policy.RootDir:
		s.host, s.write = path.Join(p.Root.Dir, at), p.Root.Write
	}
	if p.Root.Overlay != "" && s.host != "" {
		s.write = p.Root.Overlay != "tmp"
		s.private, s.changes = "an overlay", p.Root.Overlay
	}
	return s
}

func sceneOf(m *policy.Mount, rest string) scene {
	s := scene{noexec: m.NoExec, unfit: max(0, slices.Index(policy.UnfitWords, m.Unfit)), live: m.Live && !m.Write, spare: m.Optional, at: m.Pos}
	switch m.Kind {
	case policy.MountBind:
		s.host, s.write = m.Source+rest, m.Write
		if m.Source == "/" && rest != "" {
			s.host = rest
		}
	case policy.MountOverlay:
		s.host, s.write = cmp.Or(m.Source, m.Target)+rest, m.Upper != "tmp" && m.Upper != ""
		s.changes = cmp.Or(m.Upper, "tmp")
	case policy.MountTmpfs:
		s.private, s.size = "an empty tmpfs", m.Size
		s.perm, s.usual = permOf(m, 0o755)
	case policy.MountEmpty:
		s.private, s.size = emptyDir, nothing
		s.perm, s.usual = permOf(m, 0o755)
	case policy.MountSymlink:
		s.private = "a link to " + m.Source
	case policy.MountProc:
		s.kernel, s.hidepid, s.masked = "proc", max(0, slices.Index(policy.HidepidWords, m.Hidepid)), masksOf(m)
	case policy.MountSysfs, policy.MountDev, policy.MountMqueue:
		s.kernel = string(m.Kind)
	case policy.MountDir:
		s.private = "an empty directory"
		s.perm, s.usual = permOf(m, 0o755)
	case policy.MountFile:
		s.private = "a file that says " + contentText(m.Content)
		s.perm, s.usual = permOf(m, 0o644)
	default:
		s.private = "a " + string(m.Kind)
	}
	return s
}

// permOf returns the permission bits of a mount, and the bits that it would have if the profile set none.
func permOf(m *policy.Mount, usual uint32) (perm, same uint32) {
	if m.Perm.Set {
		return m.Perm.V, usual
	}
	return usual, usual
}

// contentText returns a short text unchanged, and for a long text its length and a checksum.
func contentText(s string) string {
	if len(s) <= 40 {
		return policy.Quote(s)
	}
	sum := fnv.New64a()
	sum.Write([]byte(s))
	return strconv.Itoa(len(s)) + " bytes, checksum " + strconv.FormatUint(sum.Sum64(), 16)
}

// usualMasks stands for the list of what cordon hides in proc by default.
const usualMasks = "the usual masks"

// maskText lists what is hidden, if the profile sets that.
func maskText(list []string) string {
	if len(list) == 0 {
		return " with nothing masked or read-only"
	}
	return " with " + strings.Join(list, ", ") + " and no more"
}

// masksOf lists what a mount of proc hides or makes read-only. The list is never empty.
func masksOf(m *policy.Mount) []string {
	if !m.Mask.Set && !m.ReadOnly.Set {
		return []string{usualMasks}
	}
	list := []string{"what it says"}
	if !m.Mask.Set {
		list = append(list, "the usual masked paths")
	}
	if !m.ReadOnly.Set {
		list = append(list, "the usual read-only paths")
	}
	for _, p := range m.Mask.V {
		list = append(list, "masked "+p)
	}
	for _, p := range m.ReadOnly.V {
		list = append(list, "read-only "+p)
	}
	return list
}
