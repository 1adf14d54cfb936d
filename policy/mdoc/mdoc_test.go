package mdoc

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hostile is a text that contains everything that roff treats as a request or an escape. The page must show it
// unchanged.
const hostile = ".Sh x\n'br\nA \\fB b\\e c. Next \"one\" - 'two' `three` ~ ^ \\(aq. End! So? (Yes.) No.\n\n  .literal  \\n\n\n  more 'x'\n.Pp"

func page() []byte {
	p := New("cordon-x", "1", `cordon "1" .x`, time.Date(2026, 1, 2, 23, 0, 0, 0, time.UTC))
	p.Name("cordon-x", "a .Nm \\fBpage.")
	p.Synopsis("cordon x", `[flags] {--pid PID | -o FILE} 'x' .y -- CMD [ARG...]`)
	p.Section("DESCRIPTION")
	p.Text(hostile)
	p.List(nil)
	p.List([]Entry{{"--x", "A B", "text"}, {`.y "q"`, "", hostile}, {"z", "", ""}})
	p.Subsection("more: {a: …}")
	p.Literal("  indented\n.x\n\n'y")
	p.See([]string{"a(1)", "b(5)"})
	return p.Bytes()
}

func TestPage(t *testing.T) {
	text := string(page())
	for _, want := range []string{
		".Dd \"January 2, 2026\"\n", ".Dt CORDON\\-X 1\n", ".Os \"cordon \"\"1\"\" .x\"\n", "\\&.Sh x 'br", // escaped below
	} {
		want = strings.ReplaceAll(want, "'", `\(aq`)
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if line[0] == '\'' || line[0] == '.' && !strings.Contains(" .Dd .Dt .Os .Sh .Ss .Nm .Nd .Pp .Bd .Ed .Bl .El .It .Xr ", " "+strings.Fields(line)[0]+" ") {
			t.Errorf("a request that is none of ours: %q", line)
		}
	}
}

// TestShown compares the output of mandoc with the original text, word by word.
func TestShown(t *testing.T) {
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("no mandoc")
	}
	file := filepath.Join(t.TempDir(), "x.1")
	if err := os.WriteFile(file, page(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := exec.Command(mandoc, "-Tlint", "-W", "warning", file).CombinedOutput(); len(out) > 0 {
		t.Errorf("%s", out)
	}
	shown, err := exec.Command(mandoc, "-Tascii", "-O", "width=1000", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var plain strings.Builder // mandoc writes a bold or italic character twice, with a backspace between
	for i := 0; i < len(shown); i++ {
		if i+1 < len(shown) && shown[i+1] == '\b' {
			i++
			continue
		}
		plain.WriteByte(shown[i])
	}
	words := strings.Join(strings.Fields(plain.String()), " ")
	for _, want := range []string{hostile, "[flags] {--pid PID | -o FILE} 'x' .y -- CMD [ARG...]", `a .Nm \fBpage`, "--x A B text", `.y "q"`, "indented .x 'y", "a(1), b(5)"} {
		if want = strings.Join(strings.Fields(want), " "); !strings.Contains(words, want) {
			t.Errorf("not shown: %s\nin: %s", want, words)
		}
	}
}
