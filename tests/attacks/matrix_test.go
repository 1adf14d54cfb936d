package attacks

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// attack is one row of the table.
type attack struct {
	row     int    // the row in the threat model
	name    string // what the attack tries
	layer   string // the layer that stops it
	run     func(*box) outcome
	on      []string // the shipped profiles that claim to stop it; nil means all
	control control
}

// control says how a row shows that its attack succeeds if nothing stops it.
type control struct {
	who  []string           // the accounts for which the attack must succeed without a sandbox
	run  func(*box) outcome // runs instead of the attack
	none string             // why the attack can have no control
}

var (
	anyone = control{who: []string{"root", "user"}}
	asRoot = control{who: []string{"root"}} // the attack needs privileges outside too
	asUser = control{who: []string{"user"}}
)

// shows returns a control that runs f in place of the attack.
func shows(run func(*box) outcome) control {
	return control{who: []string{"root", "user"}, run: run}
}

// noControl returns a control for an attack that cannot be shown to succeed, with the reason.
func noControl(why string) control { return control{none: why} }

// shipped lists the shipped profiles under attack.
var shipped = []string{"default", "build", "strict", "container"}

// columns lists the columns of the matrix: the profiles in shipped, and profiles in which only the bombs are tried.
var columns = append(shipped[:len(shipped):len(shipped)], "agent", "judge", "net-client")

// TestMatrix runs every attack in a sandbox from every profile that claims to stop it.
func TestMatrix(t *testing.T) {
	if peer := os.Getenv("CORDON_ATTACKS_PEER"); peer != "" {
		printPeer(t, peer)
		return
	}
	cells := map[string]string{}
	for _, a := range attacks() {
		on := a.on
		if on == nil {
			on = shipped
		}
		t.Run(label(a), func(t *testing.T) {
			for _, profile := range on {
				for _, who := range accounts() {
					o := attempt(a.run, newBox(t, profile, who))
					cells[label(a)+profile+who.name] = o.state + " " + o.detail
					if o.state != "blocked" && o.state != "absent" {
						t.Errorf("in %s as %s: %s %s", profile, who.name, o.state, o.detail)
					}
				}
			}
		})
	}
	printMatrix(cells)
	if file := os.Getenv("CORDON_ATTACKS_WRITE"); file != "" && !t.Failed() {
		if err := os.WriteFile(file, []byte(matrixText(cells)), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// matrixText formats the matrix for docs/attacks.md.
func matrixText(cells map[string]string) string {
	var b strings.Builder
	b.WriteString("# The attacks\n\n" +
		"`make attacks` runs each attack of this table as root and as an ordinary user, in a sandbox made from each shipped\n" +
		"profile that should stop it, and writes this page if no attack succeeds. The attacks are in `tests/attacks`. A cell\n" +
		"says what the attacker got: an errno, a signal, or `blocked` if the attack failed without an errno or a signal. If the\n" +
		"results of root and of the ordinary user differ, root's result is first. `absent` means that this kernel lacks a\n" +
		"feature that the attack needs, or that only root can prepare the attack. A dash means that the profile does not claim\n" +
		"to stop the attack.\n\n" +
		"| | attack | layer |")
	for _, p := range columns {
		b.WriteString(" " + p + " |")
	}
	b.WriteString("\n|--:|---|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, a := range attacks() {
		fmt.Fprintf(&b, "| %d | %s | %s |", a.row, strings.ReplaceAll(a.name, "|", "\\|"), a.layer)
		for _, p := range columns {
			b.WriteString(" " + cell(cells, label(a)+p) + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestControls runs every attack without a sandbox, where it must succeed. Otherwise its row in the matrix would prove
// nothing.
func TestControls(t *testing.T) {
	for _, a := range attacks() {
		if a.control.none != "" {
			continue
		}
		run := a.control.run
		if run == nil {
			run = a.run
		}
		t.Run(label(a), func(t *testing.T) {
			for _, who := range accounts() {
				if !slices.Contains(a.control.who, who.name) {
					continue
				}
				o := attempt(run, newBox(t, "", who))
				t.Logf("as %s: %s %s", who.name, o.state, o.detail)
				if o.state != "escaped" && o.state != "absent" {
					t.Errorf("as %s, without a sandbox: %s %s", who.name, o.state, o.detail)
				}
			}
		})
	}
}

func label(a attack) string { return fmt.Sprintf("%02d %s", a.row, a.name) }

// printMatrix prints, for every attack and profile, what stopped the attack. If root and the ordinary user had
// different results, it prints both.
func printMatrix(cells map[string]string) {
	fmt.Printf("\n%-56s %-12s", "attack", "layer")
	for _, p := range columns {
		fmt.Printf(" %-18s", p)
	}
	fmt.Println()
	for _, a := range attacks() {
		if !slices.ContainsFunc(columns, func(p string) bool { return cell(cells, label(a)+p) != "-" }) {
			continue // -run leaves it out
		}
		fmt.Printf("%-56.56s %-12.12s", label(a), a.layer)
		for _, p := range columns {
			fmt.Printf(" %-18.18s", cell(cells, label(a)+p))
		}
		fmt.Println()
	}
}

func cell(cells map[string]string, key string) string {
	var answers []string
	for _, who := range accounts() {
		c, ok := cells[key+who.name]
		if !ok {
			return "-"
		}
		state, detail, _ := strings.Cut(c, " ")
		answer, _, _ := strings.Cut(detail, " ")
		switch {
		case state != "blocked":
			answer = strings.ToUpper(state)
		case answer == "" || answer != strings.ToUpper(answer) || answer[0] < 'A': // a text, not an errno
			answer = state
		}
		if !slices.Contains(answers, answer) {
			answers = append(answers, answer)
		}
	}
	return strings.Join(answers, "/")
}

// printPeer runs the probes, but not the scenarios, under another program that makes sandboxes. This is a comparison,
// and never fails.
func printPeer(t *testing.T, peer string) {
	fmt.Printf("\n%-56s %-10s %s\n", "attack", "as", peer)
	for _, a := range attacks() {
		// A control of its own, or a missing control, concerns the flags and profiles of this launcher.
		if a.control.run != nil || a.control.none != "" || a.on != nil && !slices.Contains(a.on, "default") {
			continue
		}
		for _, who := range accounts() {
			o := attempt(a.run, newBox(t, peer, who))
			fmt.Printf("%-56.56s %-10s %s %.60s\n", label(a), who.name, o.state, o.detail)
		}
	}
}
