package cache

import (
	"slices"
	"strings"
	"testing"

	"cordon/policy"
)

func question(p *policy.Profile, env map[string]string, dirs ...string) *Question {
	return &Question{Profile: p, Root: "/h/.cache/cordon", Home: "/h", Cwd: "/w/p", Program: "true",
		Caller: func(name string) string { return env[name] },
		Kept:   func(name string) (string, bool) { v, ok := env["kept "+name]; return v, ok },
		Read: func(path string) string {
			return map[string]string{"/usr/local/go/go.env": "# usual\nGOPROXY=https://usual,direct\nGOSUMDB=x\n"}[path]
		},
		Exists: func(path string) (bool, bool) { return slices.Contains(dirs, path), slices.Contains(dirs, path) }}
}

// TestDirName checks that two projects, and two profiles, never share a directory, and that a directory's name has a
// bounded length.
func TestDirName(t *testing.T) {
	long := "/" + strings.Repeat("é", 100)
	names := []string{DirName("/a/p", "build"), DirName("/b/p", "build"), DirName("/a/p", "agent"), DirName("/a/p\x00b", "uild"), DirName(long, ""), DirName("/", ""), DirName("/..x", "")}
	for i, name := range names {
		if len(name) > 57 || name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00\n") || slices.Contains(names[:i], name) {
			t.Errorf("%d: %q", i, name)
		}
	}
}

func TestGo(t *testing.T) {
	for _, c := range []struct{ network, goproxy, want, sumdb string }{
		{"", "", "file:///g/pkg/mod/cache/download,off", "off"},
		{"host", "", "file:///g/pkg/mod/cache/download,https://usual,direct", ""},
		{"host", "https://mirror", "file:///g/pkg/mod/cache/download,https://mirror", ""},
		{"host", "https://me:secret@mirror", "", ""},
	} {
		p := &policy.Profile{Cache: policy.Cache{Mode: policy.CacheProject}, Network: policy.Network{Mode: policy.NetworkMode(c.network)}}
		s := For(question(p, map[string]string{"GOPATH": "/g:/other", "GOPROXY": c.goproxy, "kept GOFLAGS": "-mod=mod"}, "/g/pkg/mod/cache/download"))
		get := func(name string) (value string) {
			for _, v := range s.Env {
				if v.Name == name {
					value = v.Value
				}
			}
			return value
		}
		if get("GOPROXY") != c.want || get("GOSUMDB") != c.sumdb || get("GOFLAGS") != "-mod=mod -modcacherw" {
			t.Errorf("%v: %q %q %q", c, get("GOPROXY"), get("GOSUMDB"), get("GOFLAGS"))
		}
		if c.want != "" && !slices.ContainsFunc(s.Mounts, func(m policy.Mount) bool { return m.Source == "/g/pkg/mod/cache/download" && !m.Write }) {
			t.Errorf("%v: %+v", c, s.Mounts)
		}
	}
}

// TestOnlyTheProjectIsWritten checks that no mount lets the task write to the caller's own caches.
func TestOnlyTheProjectIsWritten(t *testing.T) {
	var dirs []string
	for i := range tools {
		for _, d := range tools[i].dirs {
			dirs = append(dirs, "/h/"+d.usual, "/h/"+d.usual+"/caches/modules-2")
		}
		dirs = append(dirs, "/w/p/"+strings.Join(tools[i].files, ""))
	}
	for _, mode := range []policy.CacheMode{policy.CacheProject, policy.CacheOverlay} {
		s := For(question(&policy.Profile{Name: "build", Cache: policy.Cache{Mode: mode}}, nil, dirs...))
		for _, m := range s.Mounts {
			if m.Write && m.Source != s.Dir || m.Kind == policy.MountOverlay && !strings.HasPrefix(m.Upper, s.Dir+"/") {
				t.Errorf("%s: %+v", mode, m)
			}
		}
	}
}
