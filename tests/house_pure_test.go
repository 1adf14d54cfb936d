package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// reaching maps packages whose functions query or change the machine to those of their functions that only calculate.
var reaching = map[string][]string{
	"golang.org/x/sys/unix":        {"Major", "Minor", "Mkdev", "Errno"},
	"cordon/sandbox/internal/walk": nil,
	"cordon/sandbox/ledger":        nil,
	"time":                         {"Duration"},
}

// TestCompilePure checks that the compiler keeps its promise. It may import nothing that acts on the machine. Of
// packages such as unix it may use types, constants, and functions that only calculate.
func TestCompilePure(t *testing.T) {
	dir := filepath.Join(root, "sandbox/internal/compile")
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(dir, err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		names := map[string][]string{}
		for _, spec := range file.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if within(imported, "os", "syscall", "net", "io/ioutil", "unsafe", "cordon/sandbox/internal/child", "cordon/sandbox/internal/helper") {
				t.Errorf("%s imports %s", path, imported)
			}
			if pure, ok := reaching[imported]; ok {
				names[filepath.Base(imported)] = append([]string{}, pure...)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := f.X.(*ast.Ident)
			if !ok || x.Obj != nil { // a variable with the name of a package
				return true
			}
			if pure, ok := names[x.Name]; ok && !slices.Contains(pure, f.Sel.Name) {
				t.Errorf("%s: %s.%s is called", set.Position(call.Pos()), x.Name, f.Sel.Name)
			}
			return true
		})
	}
}
