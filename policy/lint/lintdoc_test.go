package lint

import (
	"os"
	"strings"
	"testing"
)

// TestLintDocumented checks that docs/lint.md describes every rule with its present text.
func TestLintDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/lint.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Rules() {
		row := "| " + r.Code + " | `" + r.Name + "` | " + string(r.Level) + " | " + r.About + " | " + r.Why + " | " + strings.ReplaceAll(r.Fix, "|", "\\|") + " |\n"
		if !strings.Contains(string(text), row) {
			t.Errorf("no row\n%s", row)
		}
	}
	for _, p := range places {
		row := "| " + p.why + " | " + strings.Join(p.paths, " ") + " |\n"
		if !strings.Contains(string(text), row) {
			t.Errorf("no row\n%s", row)
		}
	}
	for _, list := range [][]string{devices, projectPlaces} {
		if !strings.Contains(string(text), "\n"+strings.Join(list, " ")+"\n") {
			t.Errorf("no line\n%s", strings.Join(list, " "))
		}
	}
}
