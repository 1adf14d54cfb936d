package tests

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the picture of the rooms anew, as make generate does")

// These lines of docs/architecture.md enclose the picture.
const (
	pictureBegin = "<!-- picture: make generate -->\n```text\n"
	pictureEnd   = "```\n<!-- end of the picture -->"
	pictureWidth = 96
)

// TestPicture compares the picture in docs/architecture.md with the imports of the packages.
func TestPicture(t *testing.T) {
	file := filepath.Join(root, "docs/architecture.md")
	text := read(t, file)
	before, rest, ok := bytes.Cut(text, []byte(pictureBegin))
	_, after, ended := bytes.Cut(rest, []byte(pictureEnd))
	if !ok || !ended {
		t.Fatalf("%s has no place for the picture", file)
	}
	want := slices.Concat(before, []byte(pictureBegin), picture(floors(t)), []byte(pictureEnd), after)
	switch {
	case bytes.Equal(text, want):
	case *update:
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what the imports say: make generate", file)
	}
}

// TestMapNamesFiles checks that each file that the map names exists.
func TestMapNamesFiles(t *testing.T) {
	named := regexp.MustCompile("`((?:policy|sandbox|cmd|docs|tests|profiles)/[^` ]*|[A-Z]+\\.md|\\.golangci\\.yml)`")
	for _, doc := range []string{"docs/architecture.md", "CONTRIBUTING.md"} {
		found := named.FindAllStringSubmatch(string(read(t, filepath.Join(root, doc))), -1)
		for _, m := range found {
			if strings.Contains(m[1], "NAME") {
				continue
			}
			if files, err := filepath.Glob(filepath.Join(root, m[1])); err != nil || len(files) == 0 {
				t.Errorf("%s names %s, which is not there", doc, m[1])
			}
		}
		if len(found) < 2 {
			t.Errorf("%s names %d files", doc, len(found))
		}
	}
}

// floors returns the packages of the product, the lowest floor first. Each package is one floor above the highest
// package that it imports.
func floors(t *testing.T) (floors [][]string) {
	t.Helper()
	imports := map[string][]string{}
	for _, p := range list(t, "./...") {
		if !within(p.ImportPath, "cordon/tests", "cordon/cmd/cordon-reference", "cordon/sandbox/internal/sandboxtest") && !generator(p.ImportPath) {
			imports[p.ImportPath] = p.Imports
		}
	}
	known := map[string]int{}
	var floor func(path string) int
	floor = func(path string) int {
		if n, ok := known[path]; ok {
			return n
		}
		n := 0
		for _, i := range imports[path] {
			if _, own := imports[i]; own {
				n = max(n, floor(i)+1)
			}
		}
		known[path] = n
		return n
	}
	for path := range imports {
		n := floor(path)
		for len(floors) <= n {
			floors = append(floors, nil)
		}
		floors[n] = append(floors[n], strings.TrimPrefix(path, "cordon/"))
	}
	for _, f := range floors {
		slices.Sort(f)
	}
	return floors
}

// picture draws the packages as a house, the highest floor first.
func picture(floors [][]string) []byte {
	var b strings.Builder
	edge := func(left, right string) { b.WriteString(left + strings.Repeat("─", pictureWidth) + right + "\n") }
	line := func(text string) {
		space := pictureWidth - utf8.RuneCountInString(text)
		b.WriteString("│" + strings.Repeat(" ", space/2) + text + strings.Repeat(" ", space-space/2) + "│\n")
	}
	edge("┌", "┐")
	for i, floor := range slices.Backward(floors) {
		text := ""
		for _, name := range floor {
			switch {
			case text == "":
				text = name
			case len(text)+len(name) > pictureWidth-8:
				line(text)
				text = name
			default:
				text += "   " + name
			}
		}
		line(text)
		if i > 0 {
			edge("├", "┤")
		}
	}
	edge("└", "┘")
	return []byte(b.String())
}
