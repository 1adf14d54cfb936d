package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// foreseen maps the tests that may be skipped to the reasons. Any other skip is a failure, because the machine has what
// each test needs. Scripts that need cgroups may not be skipped.
var foreseen = map[string]string{
	"TestScriptsAsUser":           "the user has a job",
	"TestScripts/programs-go":     "-test.short: it compiles the standard library",
	"TestScripts/netns":           "as a user: only root can make one",
	"TestScripts/setuid":          "as a user: root makes the copy",
	"TestScripts/ranges":          "as a user: root writes /etc/subuid",
	"TestExecAttacker":            "it is what others run inside",
	"TestPlanIsWhatHappens":       "as a user: a tracer cannot read what is not dumpable",
	"TestHostOverlayGivesNothing": "as a user",
	"TestJoinNeverRoot":           "as a user",
	"TestJoinAlone":               "as a user",
	"TestInitForgets":             "as a user",
	"TestHostIDs":                 "as a user",
	"TestRootIsNobody":            "as a user",
	"TestLogOnFullDisk":           "as a user: root mounts the disk",
	"TestEndOnFullDisk":           "as a user: root mounts the disk",
	"TestOpenStateDir/another's":  "as a user: root gives files away",

	"TestOpenStateDir/another's_parent": "as a user: root gives files away",
}

// A testLog shortens the output of `go test -v`: it keeps the output of failed tests, the verdict on each top-level
// test, and lines that belong to no test.
type testLog struct {
	Passed, Failed, Skipped int
	Unforeseen              []string // tests that were skipped without a foreseen reason
}

// copy reads a log to its end and writes the shortened log.
func (l *testLog) copy(w io.Writer, r io.Reader) {
	said := map[string][]string{} // the output of each running test
	current := ""
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			current = l.line(w, line, said, current)
		}
		if err != nil {
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(said)) { // these tests did not end before the log did
		fmt.Fprintf(w, "unfinished: %s\n%s", name, strings.Join(said[name], ""))
	}
}

// line handles one line, and returns the test that the next line belongs to.
func (l *testLog) line(w io.Writer, line string, said map[string][]string, current string) string {
	fields := strings.Fields(line)
	if len(fields) < 3 {
		fields = []string{"", "", ""}
	}
	name := fields[2]
	switch {
	case fields[0] == "===":
		if fields[1] == "PAUSE" {
			return ""
		}
		said[name] = append(said[name], "")
		return name
	case fields[0] == "---":
		l.verdict(w, line, fields[1], name, said[name])
		delete(said, name)
		return ""
	case current != "":
		said[current] = append(said[current], line)
	case strings.TrimSpace(line) != "PASS" && strings.TrimSpace(line) != "FAIL":
		fmt.Fprint(w, line)
	}
	return current
}

func (l *testLog) verdict(w io.Writer, line, verdict, name string, said []string) {
	switch verdict {
	case "PASS:":
		l.Passed++
	case "SKIP:":
		l.Skipped++
		if foreseen[name] == "" {
			l.Unforeseen = append(l.Unforeseen, name)
			fmt.Fprintf(w, "not to be skipped: %s", line)
		}
	default:
		l.Failed++
		fmt.Fprintf(w, "%s%s", strings.Join(said, ""), line)
		return
	}
	if !strings.Contains(name, "/") {
		fmt.Fprint(w, line)
	}
}
