package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cordon/policy"
	"cordon/policy/phrase"
	"cordon/sandbox"
	"cordon/sandbox/audit"
)

// auditFlags holds the flags of audit besides those of run.
type auditFlags struct {
	runFlags
	out       string
	format    string
	sarif     bool
	callsOnly bool
}

func newAudit(u *ui) *cobra.Command {
	var f auditFlags
	c := &cobra.Command{
		Use:   "audit [flags] [--] CMD [ARG...]",
		Short: "Run a program without a sandbox, and list what a profile would deny to it",
		Long: "Run a program without a sandbox, and list what a profile would deny to it. The list is sorted by the part of the\n" +
			"sandbox that would deny: the seccomp filter, the mounts, Landlock, permissions of files, no_new_privs, the pid\n" +
			"namespace, the network, capabilities, limits. Each entry says how often the program did this, in which process, which\n" +
			"line of the profile decides, and what change would allow it.\n\n" +
			"The program runs as you, in the host's own file tree, network and processes. cordon audit blocks nothing, and watching\n" +
			"a program does not protect you: audit only programs that you would run without a sandbox.\n\n" +
			"The exit code is 3 if the profile would deny anything. Otherwise it is the program's own exit code.",
		Example: "  cordon audit -p ./tool.yaml -- ./tool\n" +
			"  cordon audit -p ./tool.yaml --sarif -o audit.sarif -- make test\n" +
			"  cordon audit -p strict --calls -- ./server",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the command"),
		RunE:                  func(_ *cobra.Command, args []string) error { return u.audit(&f, args) },
	}
	addRunFlags(u, c, &f.runFlags)
	fs := c.Flags()
	fs.StringVarP(&f.out, "denials", "o", "", "write the list to `FILE`; otherwise text goes to stderr, JSON and SARIF to stdout after the program's output")
	fs.StringVar(&f.format, "format", "text", "`FORMAT` of the list: text, json or sarif (2.1.0)")
	fs.BoolVar(&f.json, "json", false, "the same as --format json")
	fs.BoolVar(&f.sarif, "sarif", false, "the same as --format sarif")
	fs.BoolVar(&f.callsOnly, "calls", false, "look only at system calls, capabilities and addresses, not at files; costs almost nothing")
	_ = c.RegisterFlagCompletionFunc("format", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"text", "json", "sarif"}, cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

func (f *auditFlags) check() error {
	if f.json {
		f.format = "json"
	}
	if f.sarif {
		f.format = "sarif"
	}
	if f.json && f.sarif || !slices.Contains([]string{"text", "json", "sarif"}, f.format) {
		return &cliError{err: errors.New("audit: --format " + f.format + " is not a format, or you gave two"), hint: "use text, json or sarif"}
	}
	return nil
}

// exitDenied is audit's exit code if the profile would have denied something.
const exitDenied = 3

func (u *ui) audit(f *auditFlags, args []string) error {
	if err := f.check(); err != nil {
		return err
	}
	c, err := command(&f.runFlags, args)
	if err != nil {
		return err
	}
	profile := c.Profile
	a, open, err := audit.New(profile, c.Host, c, f.callsOnly)
	if err != nil {
		return err
	}
	var out *reportFile
	if f.out != "" {
		if out, err = openOutput(f.out, "audit", "-o"); err != nil {
			return err
		}
	}
	c.Profile, c.Observer = open, a
	where := "in the host's tree, as you"
	if profile.Root.Kind == policy.RootDir {
		where = "in " + profile.Root.Dir + " and what is mounted there, which it can write"
	}
	u.line("audit", "nothing is blocked: the program runs "+where)
	rep, err := ended(c, c.Run())
	if err == nil {
		a.Used(rep)
	}
	a.Stop()
	if err != nil {
		return err
	}
	u.showRun(rep, false)
	list := auditList(a, profile, args, f.callsOnly)
	list.Exit = runCode(rep)
	if u.code = list.Exit; len(list.Denials) > 0 || list.Dropped > 0 {
		u.code = exitDenied
	}
	return u.tellAudit(f.format, list, out)
}

// audited is the list of what the profile would have denied, and its JSON.
type audited struct {
	Version int      `json:"version"`
	Profile string   `json:"profile"`
	Command []string `json:"command"`
	Exit    int      `json:"exit"`    // the exit code with which `cordon run` would return
	Looked  []string `json:"looked"`  // what the audit watched
	Blind   []string `json:"blind"`   // what the audit did not watch
	Dropped uint64   `json:"dropped"` // how many further denials did not fit into the list
	Denials []denial `json:"denials"`
}

// denial is one kind of operation that the profile would have denied.
type denial struct {
	Layer  string   `json:"layer"`
	Call   string   `json:"call,omitempty"` // "" for a limit, which audit compares only at the end
	Arch   string   `json:"arch,omitempty"`
	Object string   `json:"object,omitempty"`
	Access string   `json:"access,omitempty"`
	Result string   `json:"result"` // "EPERM", "kill"; "empty" for a file that the profile replaces by an empty one
	Count  uint64   `json:"count"`
	Comm   string   `json:"comm,omitempty"`
	PID    int      `json:"pid,omitempty"`
	Basis  string   `json:"basis"` // how audit knows: filter, picture (the model of the mounts), inferred, measured
	Why    string   `json:"why"`
	Rule   string   `json:"rule"` // FILE:LINE or a flag; "" for a built-in default
	Fix    []string `json:"fix"`  // flags that would allow it
	Grants string   `json:"grants,omitempty"`
	Note   string   `json:"note,omitempty"`

	at policy.Pos
}

// blindSpots lists what no audit looks at.
var blindSpots = []string{"names below an open directory that are only looked at", "what a file is used for once it is open", "which process a path below /proc belongs to"}

func auditList(a *audit.Auditor, p *policy.Profile, args []string, callsOnly bool) *audited {
	out := &audited{Version: 1, Profile: p.Name, Command: args, Denials: []denial{},
		Looked: []string{"system calls", "capabilities that calls always take", "addresses", "processes outside", "limits"}, Blind: slices.Clone(blindSpots)}
	if callsOnly {
		out.Blind = append([]string{"files", "addresses of datagrams"}, out.Blind...)
	} else {
		out.Looked = append(out.Looked, "files")
	}
	out.Blind = append(out.Blind, a.Unseen()...)
	all, dropped := a.Denials()
	out.Dropped = dropped
	for i := range all {
		x, r := &all[i], all[i].Reason
		out.Denials = append(out.Denials, denial{Layer: x.Layer, Call: x.Call, Arch: x.Arch, Object: x.Object, Access: cmp.Or(x.Use, x.Access.String()), Result: cmp.Or(r.Errno, "empty"),
			Count: x.Count, Comm: x.Comm, PID: x.PID, Basis: string(x.Basis), Why: r.Why, Rule: r.Rule.Short(), Fix: changeWords(r.Try), Grants: r.Grants, Note: r.NoFlag, at: r.Rule})
	}
	return out
}

func changeWords(try []sandbox.Change) []string {
	words := []string{}
	for _, c := range try {
		words = append(words, "--"+c.Flag, c.Value)
	}
	return words
}

// tellAudit writes the list.
func (u *ui) tellAudit(format string, list *audited, out *reportFile) error {
	text := list.text()
	if format != "text" {
		var v any = list
		if format == "sarif" {
			v = sarifOf("cordon audit", auditRules(), list.sarif())
		}
		if out == nil {
			return u.json(v)
		}
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		text = string(b) + "\n"
	}
	if out == nil {
		for l := range strings.Lines(text) {
			u.line("audit", strings.TrimSuffix(l, "\n"))
		}
		return nil
	}
	if err := out.put(func(w io.Writer) error { _, err := io.WriteString(w, text); return err }, true); err != nil {
		return out.error(err)
	}
	u.line("audit", list.headline()+"; the list is in "+out.path)
	return nil
}

func (a *audited) headline() string {
	if len(a.Denials) == 0 && a.Dropped == 0 {
		return "the profile " + a.Profile + " would have denied nothing of what was looked at"
	}
	return "the profile " + a.Profile + " would have denied " + plural(uint64(len(a.Denials))+a.Dropped, "kind of thing", "kinds of things")
}

// maxSame bounds how many paths the text lists for one line of the profile: if the profile does not show a directory,
// one line may decide about hundreds of paths.
const maxSame = 10

// text returns the list as text for people; the other formats are for programs.
func (a *audited) text() string {
	var b strings.Builder
	b.WriteString(a.headline() + "; not looked at: " + strings.Join(a.Blind, ", ") + "\n")
	same := map[string]int{} // counts denials by the line that decides
	for i := range a.Denials {
		d := &a.Denials[i]
		by := d.Layer + " " + d.Result + " " + d.Rule
		if same[by]++; d.Object != "" && same[by] > maxSame {
			continue
		}
		b.WriteString(d.Layer + ": " + d.what() + " would be " + d.Result + ", " + plural(d.Count, "time", "times") + inBraces(d.Comm, d.PID) + "\n")
		b.WriteString("    " + clean(d.decides()) + "\n")
		if len(d.Fix) > 0 {
			b.WriteString("    to allow it: " + clean((&fix{Flags: d.Fix}).line()[1:]) + phrase.Prefixed(", which gives ", clean(d.Grants)) + "\n")
		} else if d.Note != "" {
			b.WriteString("    " + clean(d.Note) + "\n")
		}
	}
	for _, by := range slices.Sorted(maps.Keys(same)) {
		if n := same[by] - maxSame; n > 0 && !strings.HasPrefix(by, string(policy.LayerSeccomp)) {
			b.WriteString(by + ": " + strconv.Itoa(n) + " more, which JSON and SARIF have\n")
		}
	}
	if a.Dropped > 0 {
		b.WriteString(plural(a.Dropped, "denial", "denials") + " of further kinds were not kept\n")
	}
	return b.String()
}

// what names the operation that the profile would have denied.
func (d *denial) what() string {
	if d.Call == "" {
		return cmp.Or(clean(d.Object), "the run")
	}
	s := clean(d.Call)
	if d.Arch != "" {
		s += " of " + d.Arch
	}
	if d.Object != "" {
		s += " (" + clean(strings.TrimPrefix(d.Access+" of ", " of ")+d.Object) + ")"
	}
	return s
}

// decides returns the line of the profile that denies the operation. If the permissions of a file deny it, no line
// does.
func (d *denial) decides() string {
	if d.Layer == layerFile {
		return d.Why
	}
	s := d.Why + " (" + cmp.Or(d.Rule, "built in") + ")"
	if d.Basis == string(audit.Inferred) {
		s += "; inferred: the call takes it"
	}
	return s
}

const layerFile = "file"

func inBraces(comm string, pid int) string {
	if comm == "" {
		return ""
	}
	return ", first by " + clean(comm) + "[" + strconv.Itoa(pid) + "]"
}

// auditLayers lists the rules of the SARIF log. Each rule is a layer of the sandbox, with a text that says what the
// layer denies.
var auditLayers = [...]struct{ id, about string }{
	{string(policy.LayerSeccomp), "a system call that the profile's filter denies"},
	{string(policy.LayerMount), "a path that the sandbox does not show, hides, or has read-only"},
	{string(policy.LayerLandlock), "a path that no Landlock rule reaches"},
	{layerFile, "a file whose permissions do not give it to the sandbox's ids"},
	{string(policy.LayerNoNewPriv), "a set-user-ID program, which runs without another's rights"},
	{string(policy.LayerPID), "a process outside of the sandbox"},
	{string(policy.LayerNet), "an address that the sandbox's network does not reach"},
	{string(policy.LayerCaps), "a capability that the profile does not keep"},
	{"limits", "a limit that it would have exceeded"},
}

func auditRules() (out []sarifRule) {
	for _, l := range auditLayers {
		out = append(out, sarifRule{ID: l.id, Short: sarifText{l.about}, Full: sarifText{"The audited program met " + l.about + "."},
			Help: sarifText{"Allow it in the profile, if the program is to do it."}, Configuration: sarifLevel{"error"}})
	}
	return out
}

func (a *audited) sarif() []sarifResult {
	out := []sarifResult{}
	for i := range a.Denials {
		d := &a.Denials[i]
		text := d.what() + " would be " + d.Result + ", " + plural(d.Count, "time", "times") + inBraces(d.Comm, d.PID) + ": " + d.decides() + "."
		if len(d.Fix) > 0 {
			text += " Fix:" + (&fix{Flags: d.Fix}).line() + "."
		}
		out = append(out, sarifResult{RuleID: d.Layer, Level: "error", Message: sarifText{clean(text)}, Locations: sarifAt(d.at)})
	}
	return out
}
