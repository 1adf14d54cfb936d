// Package tests checks properties of the whole tree: which package may import which, and which words are not used.
package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const root = ".."

// A goPackage is the part of the output of `go list -json` that the tests use.
type goPackage struct {
	ImportPath string
	Dir        string
	Imports    []string
	GoFiles    []string
	CgoFiles   []string
	Module     *struct{ Path string }
}

func list(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Imports,GoFiles,CgoFiles,Module"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
}

// within reports whether the package at path is one of trees, or is below one of them.
func within(path string, trees ...string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return path == tree || strings.HasPrefix(path, tree+"/") })
}

// directions lists the permitted imports: cmd -> sandbox -> plan, sandbox -> internal/child -> plan, sandbox -> policy,
// cmd -> profiles -> policy.
var directions = []struct {
	tree string
	own  []string // the packages of this module that it may import
	not  []string // other packages that it may not import
}{
	{"cordon/policy", []string{"cordon/policy"}, []string{"os", "syscall", "unsafe", "golang.org/x/sys", "github.com/seccomp/libseccomp-golang"}},
	// In policy, the tables, phrases and YAML import nothing else of policy. The filter imports the tables, the
	// language imports the filter and YAML, and all others import the language.
	{"cordon/policy/filter/tables", nil, []string{"os", "syscall", "unsafe"}},
	{"cordon/policy/filter", []string{"cordon/policy/filter/tables"}, []string{"os", "syscall", "unsafe", "golang.org/x/sys"}},
	{"cordon/policy/endpoint", nil, []string{"os", "syscall", "unsafe", "golang.org/x/sys"}},
	{"cordon/policy/phrase", nil, []string{"os", "syscall", "unsafe"}},
	{"cordon/policy/mdoc", nil, []string{"os", "syscall", "unsafe"}},
	{"cordon/policy/yaml", nil, []string{"os", "syscall", "unsafe"}},
	{"cordon/policy/lint", []string{"cordon/policy", "cordon/policy/filter"}, []string{"os", "syscall", "unsafe"}},
	{"cordon/policy/diff", []string{"cordon/policy", "cordon/policy/filter", "cordon/policy/lint"}, []string{"os", "syscall", "unsafe"}},
	{"cordon/profiles", []string{"cordon/policy", "cordon/profiles"}, []string{"unsafe", "golang.org/x/sys"}},
	{"cordon/sandbox/plan", nil, []string{"os", "syscall", "unsafe", "golang.org/x/sys"}},
	{"cordon/sandbox/internal/child", []string{"cordon/sandbox/plan"}, []string{"log", "github.com/seccomp/libseccomp-golang"}},
	// The library of cgroups has one user. The library knows nothing about profiles and plans.
	{"cordon/sandbox/internal/cgroup", []string{"cordon/sandbox/internal/child", "cordon/sandbox/internal/proc"}, []string{"unsafe", "log"}},
	{"cordon/sandbox/internal/paths", nil, []string{"os", "syscall", "unsafe", "log", "golang.org/x/sys"}},
	{"cordon/sandbox/internal/walk", nil, []string{"unsafe", "log"}},
	{"cordon/sandbox/internal/fail", rooms("policy"), []string{"os", "unsafe", "log"}},
	{"cordon/sandbox/internal/proc", rooms("internal/paths"), []string{"unsafe", "log"}},
	{"cordon/sandbox/internal/passwd", rooms("internal/paths", "internal/proc"), []string{"unsafe", "log"}},
	{"cordon/sandbox/internal/loop", nil, []string{"unsafe", "log"}},
	{"cordon/sandbox/internal/helper", rooms("internal/fail"), []string{"unsafe", "log"}},
	{"cordon/sandbox/report", rooms("policy"), []string{"os", "syscall", "unsafe", "log", "golang.org/x/sys"}},
	{"cordon/sandbox/host", rooms("policy", "plan", "ledger", "internal/child", "internal/fail", "internal/passwd", "internal/paths", "internal/proc",
		"internal/walk"), []string{"unsafe", "log", "os/exec"}},
	{"cordon/sandbox/internal/cache", rooms("policy", "internal/paths"), []string{"os", "syscall", "unsafe", "log", "golang.org/x/sys"}},
	{"cordon/sandbox/caches", rooms("policy", "ledger", "internal/cache", "internal/fail", "internal/passwd", "internal/paths"), []string{"unsafe", "log", "os/exec"}},
	{"cordon/sandbox/internal/cause", rooms("policy", "host"), []string{"unsafe", "log", "os/exec"}},
	{"cordon/sandbox/internal/attach", rooms("policy", "host", "internal/fail", "internal/loop", "internal/proc", "internal/walk"), []string{"unsafe", "log"}},
	{"cordon/sandbox/internal/output", rooms("internal/fail", "internal/loop"), []string{"unsafe", "log"}},
	{"cordon/sandbox/internal/terminal", rooms("host", "internal/fail", "internal/loop", "internal/output", "internal/proc"), []string{"unsafe", "log"}},
	{"cordon/sandbox/internal/picture", rooms("policy", "plan", "host", "internal/fail", "internal/paths"), []string{"os", "unsafe", "log"}},
	{"cordon/sandbox/internal/grant", rooms("internal/paths", "internal/picture"), []string{"os", "syscall", "unsafe", "log", "golang.org/x/sys"}},
	{"cordon/sandbox/internal/search", rooms("host", "internal/fail", "internal/paths", "internal/picture", "internal/walk"),
		[]string{"os", "syscall", "unsafe", "log"}},
	{"cordon/sandbox/internal/compile", rooms("policy", "plan", "ledger", "report", "host", "internal/attach", "internal/cache", "internal/cgroup", "internal/fail",
		"internal/git", "internal/grant", "internal/passwd", "internal/paths", "internal/picture", "internal/proc", "internal/search", "internal/walk"), []string{"os", "syscall", "net", "unsafe", "log"}},
	// The relay reads what a program sends. It knows the rules and the messages of netlink, but nothing about launches.
	{"cordon/sandbox/internal/egress", append(rooms("plan", "report"), "cordon/policy/endpoint"), []string{"unsafe", "log", "os/exec", "net/http"}},
	{"cordon/sandbox/internal/why", rooms("policy", "host", "internal/compile", "internal/fail", "internal/paths", "internal/picture"), []string{"os", "unsafe", "log"}},
	{"cordon/sandbox/internal/state", rooms("policy", "report", "host", "internal/attach", "internal/cgroup", "plan",
		"internal/fail", "internal/loop", "internal/paths", "internal/proc"), []string{"unsafe", "log"}},
	{"cordon/sandbox/internal/launch", rooms("policy", "plan", "ledger", "report", "host", "caches", "internal/attach", "internal/cache", "internal/cgroup",
		"internal/cause", "internal/child", "internal/compile", "internal/egress", "internal/fail", "internal/helper", "internal/loop",
		"internal/output", "internal/paths", "internal/picture", "internal/proc", "internal/state",
		"internal/terminal", "internal/walk", "internal/why"), []string{"unsafe", "log"}},
	{"cordon/sandbox/statedir", rooms("internal/state"), []string{"os", "syscall", "unsafe", "log"}},
	// The code that tests share is not linked into any program.
	{"cordon/sandbox/internal/sandboxtest", []string{"cordon/policy", "cordon/profiles", "cordon/sandbox/host"}, []string{"log"}},
	{"cordon/sandbox/doctor", []string{"cordon/policy", "cordon/sandbox"}, []string{"unsafe", "log"}},
	{"cordon/sandbox", []string{"cordon/policy", "cordon/sandbox"}, []string{"unsafe", "log", "github.com/seccomp/libseccomp-golang",
		"github.com/opencontainers"}},
	// The helper that links libseccomp is a separate program. Of this module it knows only the filter.
	{"cordon/cmd/cordon-reference", []string{"cordon/policy/filter", "cordon/cmd/cordon-reference"}, []string{"unsafe", "log", "net/http"}},
	{"cordon/cmd", []string{"cordon/policy", "cordon/profiles", "cordon/sandbox"}, []string{"unsafe", "log", "net/http", "github.com/seccomp/libseccomp-golang"}},
}

// most bounds how many files, except tests, a package of a tree may have, so that its listing can be read at a glance.
// If several trees contain a package, the longest one decides.
var most = []struct {
	tree  string
	files int
}{
	{"cordon/policy", 25},
	{"cordon/sandbox", 25},
	{"cordon/sandbox/internal/launch", 26},
	{"cordon/sandbox/internal/compile", 32}, // a file for each facility of the kernel, and one for runs in place
}

// maxFace bounds how many files package sandbox itself may have, because it only gives names to what other packages do.
const maxFace = 12

func TestPackagesAreSmall(t *testing.T) {
	for _, p := range list(t, "./...") {
		files, tree := 0, ""
		for _, m := range most {
			if within(p.ImportPath, m.tree) && len(m.tree) > len(tree) {
				files, tree = m.files, m.tree
			}
		}
		if p.ImportPath == "cordon/sandbox" {
			files = maxFace
		}
		if tree != "" && len(p.GoFiles) > files {
			t.Errorf("%s has %d files, at most %d", p.ImportPath, len(p.GoFiles), files)
		}
	}
}

// rooms returns the import paths of packages below sandbox/, and of policy with everything below it.
func rooms(names ...string) []string {
	for i, n := range names {
		if n == "policy" {
			names[i] = "cordon/policy"
		} else {
			names[i] = "cordon/sandbox/" + n
		}
	}
	return names
}

// generator reports whether only go generate runs a package. Such a package may read and write files.
func generator(path string) bool { return filepath.Base(path) == "gen" }

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range list(t, "./...") {
		// If several trees contain the package, the longest one decides.
		best := -1
		for i, d := range directions {
			if within(p.ImportPath, d.tree) && (best < 0 || len(d.tree) > len(directions[best].tree)) {
				best = i
			}
		}
		if best < 0 || generator(p.ImportPath) {
			continue
		}
		d := directions[best]
		for _, imported := range p.Imports {
			if within(imported, "cordon") && !within(imported, d.own...) || within(imported, d.not...) {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

// TestBinaryLinksNothingIdle checks that the binary contains no package that costs time at the start, or that a
// launcher does not need.
func TestBinaryLinksNothingIdle(t *testing.T) {
	unwanted := []string{
		"net/http", "crypto/tls", "github.com/seccomp/libseccomp-golang", "github.com/moby/profiles", "github.com/opencontainers/runtime-spec",
		"github.com/cilium",
		"github.com/santhosh-tekuri", "github.com/rogpeppe", "testing", "runtime/cgo", "plugin",
	}
	for _, p := range list(t, "-deps", "./cmd/cordon") {
		if within(p.ImportPath, unwanted...) {
			t.Errorf("cmd/cordon links %s", p.ImportPath)
		}
		if len(p.CgoFiles) > 0 {
			t.Errorf("cmd/cordon links cgo in %s", p.ImportPath)
		}
	}
}

// TestDependenciesAreDocumented checks that docs/dependencies.md has a line for every module of go.mod. The line says
// where the module is linked.
func TestDependenciesAreDocumented(t *testing.T) {
	row := regexp.MustCompile(`(?m)^\| ([a-z]\S+) \| (binary|binary on Windows|tests|generator) \| .+ \|$`)
	documented := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(string(read(t, filepath.Join(root, "docs/dependencies.md"))), -1) {
		documented[m[1]] = m[2]
	}
	linked := map[string]bool{}
	for _, p := range list(t, "-deps", "./cmd/cordon") {
		if p.Module != nil {
			linked[p.Module.Path] = true
		}
	}
	required := regexp.MustCompile(`(?m)^(?:require )?\t?(\S+\.\S+) v\S+`).FindAllStringSubmatch(string(read(t, filepath.Join(root, "go.mod"))), -1)
	for _, m := range required {
		module := m[1]
		if where := documented[module]; where == "" {
			t.Errorf("%s has no line", module)
		} else if linked[module] != (where == "binary") {
			t.Errorf("%s: said to be linked in %s; in the binary: %v", module, where, linked[module])
		}
		delete(documented, module)
	}
	for module := range documented {
		t.Errorf("%s has a line and is not in go.mod", module)
	}
}

var (
	initFunc = regexp.MustCompile(`(?m)^func init\(\)`)
	linkname = regexp.MustCompile(`(?m)^//go:linkname `)
)

func TestNoInitAndOneHomeForLinkname(t *testing.T) {
	for _, p := range list(t, "./...") {
		for _, name := range p.GoFiles {
			text := read(t, filepath.Join(p.Dir, name))
			if initFunc.Match(text) {
				t.Errorf("%s/%s: func init runs at every start of the launcher", p.ImportPath, name)
			}
			if linkname.Match(text) && p.ImportPath != "cordon/sandbox/internal/child" {
				t.Errorf("%s/%s: go:linkname outside sandbox/internal/child", p.ImportPath, name)
			}
		}
	}
}

// words lists words that the texts must not contain, and what to write instead. Each word is split here, so that this
// file does not contain it either.
var words = []struct {
	pattern *regexp.Regexp
	instead string
	files   []string // suffixes of files; nil means all files
}{
	{regexp.MustCompile(`(?i)white` + `list|black` + `list`), "rule, allow, deny", nil},
	{regexp.MustCompile(`(?i)"[^"]*failed` + ` to `), "the operation and the object, then the cause", []string{".go"}},
	{regexp.MustCompile(`(?i)\bpay` + `load\b`), "task", []string{".go", ".md", ".yaml"}},
	{regexp.MustCompile(`\bTO` + `DO\b|\bFIX` + `ME\b|not written` + ` yet`), "what is done, or nothing", nil},
	{regexp.MustCompile(`os\.MkdirTemp\("` + `/`), "scratch.Dir, which the guard of a stopped run cleans up after", []string{".go"}},
	{regexp.MustCompile(`(?i)\b(deb|security|snapshot|archive|ports|proxy|registry)\.(debian|ubuntu|golang|npmjs)` + `\.(org|com)`),
		"no host of a package mirror: the machine's own sources say where packages come from", nil},
	{regexp.MustCompile(`sudo` + ` make`), "an ordinary user's command", []string{".md"}},
}

// imported reports whether somebody else decides about the words in a file: names and licences.
func imported(path string) bool {
	return path == "LICENSE" || path == "go.sum" || strings.Contains(path, "/testdata/")
}

func TestWords(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == ".git" || name == "bin"):
			return filepath.SkipDir
		case !e.Type().IsRegular() || imported(name):
			return nil
		}
		text := read(t, path)
		if bytes.IndexByte(text, 0) >= 0 || bytes.Contains(text[:min(200, len(text))], []byte("Code generated")) {
			return nil
		}
		for _, w := range words {
			if w.files != nil && !slices.Contains(w.files, filepath.Ext(name)) {
				continue
			}
			for _, at := range w.pattern.FindAllIndex(text, -1) {
				t.Errorf("%s:%d: %q: say %s", name, 1+bytes.Count(text[:at[0]], []byte("\n")), text[at[0]:at[1]], w.instead)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDocumentsAreNarrow checks that lines in documents have at most 121 columns, because people also read them in a
// terminal. Tables, and text that is shown as typed, may be wider.
func TestDocumentsAreNarrow(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil || len(files) == 0 {
		t.Fatal("no documents", err)
	}
	for _, file := range append(files, filepath.Join(root, "README.md"), filepath.Join(root, "SECURITY.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		code, n := false, 0
		for line := range strings.Lines(string(read(t, file))) {
			n++
			text := strings.TrimSpace(line)
			if strings.HasPrefix(text, "```") {
				code = !code
			}
			shown := code || strings.HasPrefix(text, "|") || strings.HasPrefix(line, "    ") || strings.HasPrefix(text, "<!--")
			if width := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); width > 121 && !shown {
				t.Errorf("%s:%d: %d columns", file, n, width)
			}
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
