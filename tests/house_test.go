// Package tests holds what is true of the whole tree: who may import whom, and which words are not used.
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

// A goPackage is the part of `go list -json` that is looked at here.
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

// within says whether the package at path is one of trees or below one.
func within(path string, trees ...string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return path == tree || strings.HasPrefix(path, tree+"/") })
}

// Direction: cmd -> sandbox -> plan, sandbox -> internal/child -> plan, sandbox -> policy, cmd -> profiles -> policy.
var directions = []struct {
	tree string
	own  []string // what it may import of this module
	not  []string // what it may not import of others
}{
	{"cordon/policy", []string{"cordon/policy"}, []string{"os", "syscall", "unsafe", "golang.org/x/sys", "github.com/seccomp/libseccomp-golang"}},
	// Within policy: tables, phrases and YAML know nobody, the filter knows the tables, the language the filter and YAML, and the rest
	// the language.
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
	// The library of cgroups has one user, which knows nothing of profiles and plans.
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
	// The relay reads what a program sends: it knows the rules and the messages of netlink, and nothing of launches.
	{"cordon/sandbox/internal/egress", append(rooms("plan", "report"), "cordon/policy/endpoint"), []string{"unsafe", "log", "os/exec", "net/http"}},
	{"cordon/sandbox/internal/why", rooms("policy", "host", "internal/compile", "internal/fail", "internal/paths", "internal/picture"), []string{"os", "unsafe", "log"}},
	{"cordon/sandbox/internal/state", rooms("policy", "report", "host", "internal/attach", "internal/cgroup", "plan",
		"internal/fail", "internal/loop", "internal/paths", "internal/proc"), []string{"unsafe", "log"}},
	{"cordon/sandbox/internal/launch", rooms("policy", "plan", "ledger", "report", "host", "caches", "internal/attach", "internal/cache", "internal/cgroup",
		"internal/cause", "internal/child", "internal/compile", "internal/egress", "internal/fail", "internal/helper", "internal/loop",
		"internal/output", "internal/paths", "internal/picture", "internal/proc", "internal/state",
		"internal/terminal", "internal/walk", "internal/why"), []string{"unsafe", "log"}},
	{"cordon/sandbox/statedir", rooms("internal/state"), []string{"os", "syscall", "unsafe", "log"}},
	// What tests share is not linked into anything.
	{"cordon/sandbox/internal/sandboxtest", []string{"cordon/policy", "cordon/profiles", "cordon/sandbox/host"}, []string{"log"}},
	{"cordon/sandbox/doctor", []string{"cordon/policy", "cordon/sandbox"}, []string{"unsafe", "log"}},
	{"cordon/sandbox", []string{"cordon/policy", "cordon/sandbox"}, []string{"unsafe", "log", "github.com/seccomp/libseccomp-golang",
		"github.com/opencontainers"}},
	// The helper that links libseccomp is a program of its own, and all that it knows of us is the filter.
	{"cordon/cmd/cordon-reference", []string{"cordon/policy/filter", "cordon/cmd/cordon-reference"}, []string{"unsafe", "log", "net/http"}},
	{"cordon/cmd", []string{"cordon/policy", "cordon/profiles", "cordon/sandbox"}, []string{"unsafe", "log", "net/http", "github.com/seccomp/libseccomp-golang"}},
}

// most is how many files outside tests a package of a tree may have: a listing that is read at a glance. The longest tree
// that holds the package counts.
var most = []struct {
	tree  string
	files int
}{
	{"cordon/policy", 25},
	{"cordon/sandbox", 25},
	{"cordon/sandbox/internal/launch", 26},
	{"cordon/sandbox/internal/compile", 32}, // a file for each facility of the kernel, and one for runs in place
}

// maxFace is how many files package sandbox itself may have: it only names what is in the rooms below.
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

// rooms are the import paths of packages below sandbox/, and of policy with what is below it.
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

// generator says whether a package is only run by go generate: it may read and write files.
func generator(path string) bool { return filepath.Base(path) == "gen" }

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range list(t, "./...") {
		// The longest tree that holds the package is the one that counts.
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

// What ends up in the binary must not cost start-up time or bring code that a launcher has no use for.
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

// docs/dependencies.md has a line for every module of go.mod that says where it is linked.
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

// The words of the house, and what they replace. Each half is written apart so that this file is clean too.
var words = []struct {
	pattern *regexp.Regexp
	instead string
	files   []string // by suffix; nil means all
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

// imported are names and licences that are not ours to word.
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

// Documents are read in a terminal too: outside of tables and of what is shown as typed, lines have at most 121 columns.
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
