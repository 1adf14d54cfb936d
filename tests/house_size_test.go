package tests

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// These are the bounds on sizes, so that a newcomer can read each part at one sitting.
const (
	maxFileLines = 450
	maxFuncLines = 60 // between func and its closing brace, without lines that only comment, as the linter counts
	maxMedian    = 10
	maxTenth     = 30 // the bound for the 90th percentile
)

// longer lists files whose functions may be longer, because the child has no stack to spare for a function that is
// split.
var longer = []string{"sandbox/internal/child/start.go"}

// maxColumns is how wide a line may be, with a tab as four columns, in the packages of the list narrow. The other
// packages still have wider lines. If a package no longer has any, it is added to the list.
const maxColumns = 120

var narrow = []string{"policy/phrase", "sandbox/internal/fail", "sandbox/internal/helper", "sandbox/internal/loop",
	"sandbox/internal/output", "sandbox/internal/paths", "sandbox/internal/picture", "tests/guard", "tests/scratch"}

func TestLinesAreNarrow(t *testing.T) {
	for _, dir := range narrow {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: no files, %v", dir, err)
		}
		for _, file := range files {
			n := 0
			for line := range strings.Lines(string(read(t, file))) {
				n++
				line = strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", "    ")
				if width := utf8.RuneCountInString(line); width > maxColumns {
					t.Errorf("%s:%d: %d columns", file, n, width)
				}
			}
		}
	}
}

// goFile is a file of the product, with the number of lines of each of its functions.
type goFile struct {
	path  string
	lines int
	funcs []goFunc
}

type goFunc struct {
	name  string
	lines int
}

// productFiles parses all files except tests and generated files.
func productFiles(t *testing.T) (list []goFile) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == ".git" || e.Name() == "testdata" || name == "bin" || name == "tests"):
			return filepath.SkipDir
		case e.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text := read(t, path)
		if bytes.Contains(text[:min(200, len(text))], []byte("Code generated")) {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		list = append(list, goFile{name, bytes.Count(text, []byte("\n")), funcLines(set, file)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// funcLines counts the lines of each function, without lines that only comment.
func funcLines(set *token.FileSet, file *ast.File) (list []goFunc) {
	line := func(p token.Pos) int { return set.Position(p).Line }
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		n := line(f.Body.Rbrace) - line(f.Pos()) - 1
		for _, c := range file.Comments {
			if c.Pos() > f.Body.Lbrace && c.End() < f.Body.Rbrace && set.Position(c.Pos()).Column == 2 {
				n -= line(c.End()) - line(c.Pos()) + 1
			}
		}
		list = append(list, goFunc{f.Name.Name, max(n, 1)})
	}
	return list
}

// TestSizes checks the bounds for files and functions, and prints how long functions are.
func TestSizes(t *testing.T) {
	var all []int
	for _, f := range productFiles(t) {
		if f.lines > maxFileLines {
			t.Errorf("%s has %d lines; %d are allowed", f.path, f.lines, maxFileLines)
		}
		for _, fn := range f.funcs {
			all = append(all, fn.lines)
			if fn.lines > maxFuncLines && !slices.Contains(longer, f.path) {
				t.Errorf("%s: %s has %d lines; %d are allowed", f.path, fn.name, fn.lines, maxFuncLines)
			}
		}
	}
	slices.Sort(all)
	median, tenth := all[len(all)/2], all[len(all)*9/10]
	t.Logf("%d functions: the median has %d lines, the 90th percentile %d, the longest %d", len(all), median, tenth, all[len(all)-1])
	if median > maxMedian || tenth > maxTenth {
		t.Errorf("functions are too long: median %d of %d lines, 90th percentile %d of %d", median, maxMedian, tenth, maxTenth)
	}
}
