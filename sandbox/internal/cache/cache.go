package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
)

// Question holds everything that the caches of a run depend on.
type Question struct {
	Profile *policy.Profile
	Root    string                                // the directory of all caches on the host, without links
	Home    string                                // the caller's home
	Cwd     string                                // the working directory, without links
	Program string                                // the name of the program, without its directory
	Caller  func(name string) string              // a variable of the caller; "" if it is not set
	Kept    func(name string) (string, bool)      // a variable that the profile gives to the task
	Read    func(path string) string              // the text of a small file of the host; "" if there is none
	Exists  func(path string) (there, isDir bool) // whether a path of the host exists
}

// Set describes the caches of a run.
type Set struct {
	Mode   policy.CacheMode
	Root   string
	Dir    string // the project's directory in Root
	Owner  string // the text that says to which project and profile Dir belongs
	Tools  []Tool
	Mounts []policy.Mount
	Env    []policy.EnvVar
	Pos    policy.Pos
	Seeded []string // the caller's own caches that the task can read
}

// Tool is the cache of one tool.
type Tool struct {
	Name string
	Dirs []string // names in the project's directory
	// Seeds are the caller's directories that the launcher copies into Dirs[0] when it makes that directory. It is nil
	// if the project does not seem to use the tool.
	Seeds []Seed
}

// Seed is a directory of the caller that becomes the first content of a cache.
type Seed struct {
	From string // on the host
	To   string // in the cache
}

// maxName is how many bytes of the working directory's name are in the name of a project's directory.
const maxName = 40

// DirName returns the name of the directory for the caches of a project and a profile. It contains the end of the
// working directory's path, for people, and a hash of the path and the profile. It has at most 57 bytes.
func DirName(cwd, profile string) string {
	sum := sha256.Sum256([]byte(cwd + "\x00" + profile))
	_, name := paths.Split(cwd)
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, name)
	plain = strings.TrimLeft(plain[:min(len(plain), maxName)], ".")
	return plain + "-" + hex.EncodeToString(sum[:8])
}

// For returns the caches of a run whose profile asks for caches.
func For(q *Question) *Set {
	mode, _ := q.Profile.CacheMode()
	s := &Set{Mode: mode, Root: q.Root, Dir: paths.Join(q.Root, DirName(q.Cwd, q.Profile.Name)), Pos: q.Profile.Source("cache.mode"),
		Owner: "project " + strconv.Quote(q.Cwd) + "\nprofile " + strconv.Quote(q.Profile.Name) + "\n"}
	if s.Pos == (policy.Pos{}) {
		s.Pos = q.Profile.Source("cache.tools")
	}
	b := &builder{Question: q, set: s}
	if mode == policy.CacheProject {
		// The caches of other projects must be invisible, even if the sandbox shows the home.
		s.Mounts = append(s.Mounts,
			policy.Mount{Kind: policy.MountEmpty, Target: s.Root, Perm: policy.Opt[uint32]{Set: true, V: 0o755}, Pos: s.Pos},
			policy.Mount{Kind: policy.MountBind, Source: s.Dir, Write: true, Pos: s.Pos})
	}
	for _, name := range q.Profile.CacheTools() {
		i := slices.IndexFunc(tools[:], func(t tool) bool { return t.name == name })
		if i < 0 {
			continue
		}
		if t := &tools[i]; mode == policy.CacheProject {
			b.project(t)
		} else {
			b.overlay(t)
		}
	}
	return s
}

type builder struct {
	*Question
	set *Set
}

// project gives a tool its own caches in the project's directory.
func (b *builder) project(t *tool) {
	made := Tool{Name: t.name}
	for i := range t.dirs {
		d := &t.dirs[i]
		made.Dirs = append(made.Dirs, d.name)
		if d.variable != "" {
			b.setenv(d.variable, paths.Join(b.set.Dir, d.name))
		}
	}
	used := b.uses(t)
	for _, seed := range t.seeds {
		from := paths.Join(b.own(&t.dirs[0]), seed.From)
		if _, isDir := b.Exists(from); used && isDir {
			made.Seeds = append(made.Seeds, Seed{From: from, To: seed.To})
		}
	}
	if t.more != nil {
		t.more(b, t, used)
	}
	b.set.Tools = append(b.set.Tools, made)
}

// overlay lets the task see the caller's own caches of a tool. Changes go to the project's directory, or stay in
// memory.
func (b *builder) overlay(t *tool) {
	made, any := Tool{Name: t.name}, false
	for i := range t.dirs {
		d := &t.dirs[i]
		own := b.own(d)
		if d.shown != "" {
			own = paths.Join(own, d.shown)
		}
		if _, isDir := b.Exists(own); !isDir {
			continue
		}
		m := policy.Mount{Kind: policy.MountOverlay, Target: own, Source: own, Upper: "tmp", Pos: b.set.Pos}
		if size := b.Profile.Cache.Size; size.Set {
			m.Size = size.V
		} else {
			name := "overlay-" + d.name
			made.Dirs = append(made.Dirs, name)
			m.Upper = paths.Join(b.set.Dir, name)
		}
		any = true
		b.set.Mounts = append(b.set.Mounts, m)
		b.set.Seeded = append(b.set.Seeded, own)
		if d.variable != "" {
			b.setenv(d.variable, b.own(d))
		}
	}
	if t.name == "go" {
		b.extend("GOFLAGS", "-modcacherw")
	}
	if any {
		b.set.Tools = append(b.set.Tools, made)
	}
}

// uses reports whether the project seems to use a tool: the program is one of the tool's, or one of the tool's files
// exists.
func (b *builder) uses(t *tool) bool {
	return slices.Contains(t.programs, b.Program) || slices.ContainsFunc(t.files, func(name string) bool {
		there, _ := b.Exists(paths.Join(b.Cwd, name))
		return there
	})
}

// own returns the path of the caller's own cache.
func (b *builder) own(d *dir) string {
	if v := paths.Home(b.Caller(d.variable)); d.variable != "" && v != "" {
		return v
	}
	if d.find != nil {
		if path := d.find(b); path != "" {
			return path
		}
	}
	if rest, ok := strings.CutPrefix(d.usual, ".cache/"); ok {
		if base := paths.Home(b.Caller("XDG_CACHE_HOME")); base != "" {
			return paths.Join(base, rest)
		}
	}
	return paths.Join(b.Home, d.usual)
}

// setenv sets a variable, unless the profile sets it.
func (b *builder) setenv(name, value string) {
	if !slices.ContainsFunc(b.Profile.Env.Set, func(v policy.EnvVar) bool { return v.Name == name }) {
		b.set.Env = append(b.set.Env, policy.EnvVar{Name: name, Value: value, Pos: b.set.Pos})
	}
}

// extend adds words to a variable that the profile gives to the task.
func (b *builder) extend(name, words string) {
	if v, ok := b.Kept(name); ok && v != "" {
		words = v + " " + words
	}
	b.set.Env = append(b.set.Env, policy.EnvVar{Name: name, Value: words, Pos: b.set.Pos})
}

// show binds a directory of the caller read-only, unless the profile already shows it. It reports whether the directory
// exists.
func (b *builder) show(path string) bool {
	if _, isDir := b.Exists(path); !isDir {
		return false
	}
	b.set.Seeded = append(b.set.Seeded, path)
	if !slices.ContainsFunc(b.Profile.Mounts, func(m policy.Mount) bool {
		source := m.Source
		if rest, ok := strings.CutPrefix(source, "~/"); ok {
			source = paths.Join(b.Home, rest)
		}
		return m.Kind == policy.MountBind && m.Target == "" && strings.HasPrefix(source, "/") && paths.Below(path, paths.Clean(source))
	}) {
		b.set.Mounts = append(b.set.Mounts, policy.Mount{Kind: policy.MountBind, Source: path, Optional: true, Pos: b.set.Pos})
	}
	return true
}

// offline reports whether the task has no network.
func (b *builder) offline() bool {
	net := &b.Profile.Namespaces.Net
	return b.Profile.Network.Mode == policy.NetworkNone && net.Mode == policy.NSNew
}
