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

// reaching are packages whose functions ask or change the machine, with the functions of each that only calculate.
var reaching = map[string][]string{
	"golang.org/x/sys/unix":        {"Major", "Minor", "Mkdev", "Errno"},
	"cordon/sandbox/internal/walk": nil,
	"cordon/sandbox/ledger":        nil,
	"time":                         {"Duration"},
}

// TestCompilePure holds the compiler to what it promises: it imports nothing that acts, and of package unix and the like
// it takes types and constants, and calls no function but those that only calculate.
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
			if !ok || x.Obj != nil { // a variable of that name
				return true
			}
			if pure, ok := names[x.Name]; ok && !slices.Contains(pure, f.Sel.Name) {
				t.Errorf("%s: %s.%s is called", set.Position(call.Pos()), x.Name, f.Sel.Name)
			}
			return true
		})
	}
}
