package learn

import (
	"path"
	"slices"
	"strings"

	"cordon/policy"
	"cordon/policy/lint"
)

// secrets knows which files learn never allows unless the user grants them, not even within a directory that it allows:
// the files that the patterns of hide rules match.
type secrets struct {
	w        *world
	exact    map[string]bool
	globs    []string
	anywhere []string        // the names NAME of patterns **/NAME
	dirs     map[string]bool // by directory: whether it is a secret or below one
	above    map[string]bool // directories that contain a secret with a fixed path
	granted  []string        // paths that the user has granted

	homes  []string            // all known homes, if tildes is set
	tildes map[string]bool     // by path below a home: true for a secret, false for a directory above one; nil: see ofHome
	names  map[string][]string // by path: the names because of which it is a secret
}

func newSecrets(w *world, patterns, granted []string) *secrets {
	s := &secrets{w: w, exact: map[string]bool{}, dirs: map[string]bool{"/": false}, above: map[string]bool{}, names: map[string][]string{}}
	for _, p := range granted {
		s.granted = append(s.granted, w.expand(p))
	}
	for _, p := range patterns {
		if rest, ok := strings.CutPrefix(p, "**/"); ok {
			s.anywhere = append(s.anywhere, rest)
			continue
		}
		p = w.expand(p)
		if rest, ok := strings.CutPrefix(p, "/var/run/"); ok { // /var/run is a link to /run
			s.add("/run/" + rest)
		}
		if p != "" {
			s.add(p)
		}
	}
	return s
}

func (s *secrets) add(p string) {
	if strings.ContainsAny(p, "*?[") {
		s.globs = append(s.globs, p)
	} else {
		s.exact[p] = true
	}
	for dir := path.Dir(p); !s.above[dir]; dir = path.Dir(dir) {
		s.above[dir] = true
	}
}

// has reports whether p is a secret or below a secret, unless the user has granted it.
func (s *secrets) has(p string) bool {
	if !s.self(p) && !s.dir(path.Dir(p)) || s.isGranted(p) {
		return false
	}
	return !slices.ContainsFunc(s.names[p], s.isGranted)
}

func (s *secrets) isGranted(p string) bool {
	for _, g := range s.granted {
		if within(g, p) {
			return true
		}
	}
	return false
}

// dir reports whether a directory, or a directory above it, is a secret.
func (s *secrets) dir(dir string) bool {
	v, ok := s.dirs[dir]
	if !ok {
		v = s.self(dir) || s.dir(path.Dir(dir))
		s.dirs[dir] = v
	}
	return v
}

func (s *secrets) self(p string) bool {
	if s.exact[p] {
		return true
	}
	if is, _ := s.ofHome(p); is {
		return true
	}
	for _, g := range s.globs {
		if ok, _ := path.Match(g, p); ok {
			return true
		}
	}
	for _, a := range s.anywhere {
		n := strings.Count(a, "/") + 1
		if ok, _ := path.Match(a, lastNames(p, n)); ok {
			return true
		}
	}
	return false
}

// lastNames returns the last n names of a path.
func lastNames(p string, n int) string {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] == '/' {
			if n--; n == 0 {
				return p[i+1:]
			}
		}
	}
	return p
}

// holds reports whether a directory contains a secret. It knows only secrets whose place follows from the patterns.
func (s *secrets) holds(dir string) bool {
	_, home := s.ofHome(dir)
	return home || s.above[dir] || s.dir(dir) || slices.ContainsFunc(s.homes, func(home string) bool { return within(dir, home) })
}

// exposes says what a socket gives to a program, or returns "" if it is not a well-known socket.
func exposes(p string) string {
	probe := policy.Profile{Mounts: []policy.Mount{{Kind: policy.MountBind, Source: p}}}
	for _, e := range lint.Exposures(&probe, "") {
		return e.Socket + ", which gives " + e.Gives
	}
	return ""
}
