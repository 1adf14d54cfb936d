package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSuspectsIn checks that suspectsIn finds the paths in scripts of shells and other languages.
func TestSuspectsIn(t *testing.T) {
	dir := home(t)
	f := filepath.Join(dir, "f")
	if err := os.WriteFile(f, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		want suspect
	}{
		{"cat " + f, suspect{f, false}}, {"cat \"$HOME/f\"", suspect{filepath.Join(os.Getenv("HOME"), "f"), false}},
		{"print(open('" + f + "').read())", suspect{f, false}}, {"open('out.txt','w')", suspect{"out.txt", true}},
		{"fs.writeFileSync(\"o.json\", x)", suspect{"o.json", true}}, {"echo x > new.txt", suspect{"new.txt", true}},
		{"echo x >>new.txt; true", suspect{"new.txt", true}}, {"sh -c 'cat " + f + "'", suspect{f, false}}, {"a=" + f, suspect{f, false}},
	} {
		if list := suspectsIn(c.text); !slices.Contains(list, c.want) && (c.want.write || fileThere(c.want.path)) {
			t.Errorf("%q: %v, want %v", c.text, list, c.want)
		}
	}
	for _, text := range []string{"", "'", "true >/dev/null", "open('x', 'r')", "\"", "a > "} {
		if list := suspectsIn(text); len(list) != 0 {
			t.Errorf("%q: %v", text, list)
		}
	}
}

func fileThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
