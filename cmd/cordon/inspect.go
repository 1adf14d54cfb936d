package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cordon/policy/phrase"
	"cordon/sandbox/statedir"
)

func newInspect(u *ui) *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "inspect [--json] SANDBOX...",
		Short: "Show everything that cordon knows about a sandbox",
		Long: "Show everything that cordon knows about a sandbox: its state, what the kernel says about it now, the effective profile\n" +
			"with the file and line of every value, and the plan (the system calls that started the sandbox). If the sandbox has\n" +
			"ended, show its report.",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the sandbox"),
		ValidArgsFunction:     completeSandboxes(),
		RunE: func(_ *cobra.Command, args []string) error {
			return u.eachSandbox(args, func(e *statedir.Entry) error { return u.inspect(e, asJSON) })
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, one value for each sandbox")
	return c
}

// inspected is the output of `cordon inspect --json`: everything that cordon knows about a sandbox.
type inspected struct {
	shown
	Log     *statedir.LogState `json:"log,omitempty"`
	Kernel  *statedir.Kernel   `json:"kernel,omitempty"` // nil if the sandbox is not running
	Profile string             `json:"effective_profile,omitempty"`
	Plan    []string           `json:"plan,omitempty"`
	Report  json.RawMessage    `json:"report,omitempty"`
}

func (u *ui) inspect(e *statedir.Entry, asJSON bool) error {
	i, err := inspectEntry(e)
	if err != nil {
		return err
	}
	if asJSON {
		return u.json(i)
	}
	return u.write(i.text())
}

func inspectEntry(e *statedir.Entry) (*inspected, error) {
	t, err := statedir.Processes()
	if err != nil {
		return nil, err
	}
	i := &inspected{shown: shown{State: e.State, Status: status(e, t), Ending: e.Ending(), Processes: []*statedir.Process{}}}
	if i.Status == statedir.StatusRunning || i.Status == statedir.StatusPaused {
		i.Processes = append(i.Processes, t.Of(e)...)
		if i.Kernel, err = e.Kernel(); err != nil {
			return nil, err
		}
		var log statedir.LogState
		if _, err := e.Call("log", nil, &log); err == nil && e.State.Detached { // a stopped launcher does not answer
			i.Log = &log
		}
	}
	profile, err := e.Profile()
	if err != nil && !notExist(err) {
		return nil, err
	}
	plan, err := e.Plan()
	if err != nil && !notExist(err) {
		return nil, err
	}
	if i.Report, err = e.Report(); err != nil && !notExist(err) {
		return nil, err
	}
	i.Profile = string(profile)
	if len(plan) > 0 {
		i.Plan = strings.Split(strings.TrimSuffix(string(plan), "\n"), "\n")
	}
	return i, nil
}

func (i *inspected) text() string {
	var b strings.Builder
	section := func(title string, lines ...string) {
		b.WriteString(title + "\n")
		for _, l := range lines {
			b.WriteString("  " + clean(l) + "\n")
		}
		b.WriteString("\n")
	}
	section("sandbox", i.summary()...)
	if k := i.Kernel; k != nil {
		section("task, as the kernel has it", kernelLines(k.Task)...)
		section("pid 1, as the kernel has it", kernelLines(k.Init)...)
		section("mounts, /proc/"+itoa(k.Task.PID)+"/mountinfo", k.Mounts...)
		var files []string
		for _, f := range k.Cgroup {
			files = append(files, f.Path+": "+strings.ReplaceAll(f.Value, "\n", "; "))
		}
		if files != nil {
			section("cgroup", files...)
		}
		b.WriteString("processes\n" + processTree(i.Processes) + "\n")
	}
	if i.Report != nil {
		section("report", strings.Split(strings.TrimSpace(string(i.Report)), "\n")...)
	}
	section("effective profile", strings.Split(strings.TrimSuffix(i.Profile, "\n"), "\n")...)
	section("plan", i.Plan...)
	return strings.TrimSuffix(b.String(), "\n")
}

// summary returns the state, one line for each fact.
func (i *inspected) summary() []string {
	fact := func(name, value string) string { return pad(name, 12) + value }
	s := []string{
		fact("id", i.ID), fact("name", orDash(i.Name)), fact("status", said(&i.shown)), fact("profile", orDash(i.State.Profile)),
		fact("command", strings.Join(i.Args, " ")), fact("cwd", i.Cwd), fact("created", i.Created.Format(time.RFC3339)), fact("launcher", "pid "+itoa(i.Launcher.PID)),
	}
	if e := i.Ending; e != nil {
		s = append(s, fact("ended", e.At.Format(time.RFC3339)+phrase.Prefixed(", by ", e.Signal)+phrase.Prefixed(", at its limit: ", e.Limit)))
		if e.Error != "" {
			s = append(s, fact("error", e.Error))
		}
		s = append(s, lostLine(e.LogLost, e.LogError)...)
	}
	if i.Log != nil {
		s = append(s, lostLine(i.Log.Lost, i.Log.Error)...)
	}
	return s
}

// lostLine returns a line that says how many bytes of output the log lacks, and why.
func lostLine(n int64, why string) []string {
	if n == 0 {
		return nil
	}
	return []string{pad("log", 12) + "lacks " + size(n) + ": " + why}
}

func kernelLines(k *statedir.KernelProcess) []string {
	lines := []string{pad("pid", 20) + itoa(k.PID)}
	for _, n := range k.Namespaces {
		whose := "its own"
		if !n.Own {
			whose = "the same as here"
		}
		lines = append(lines, pad(n.Kind, 20)+n.Name+", "+whose)
	}
	for _, name := range k.StatusNames() {
		lines = append(lines, pad(name, 20)+k.Status[name])
	}
	for _, c := range k.Cgroups {
		lines = append(lines, pad("cgroup", 20)+c)
	}
	lines = append(lines, k.Limits...)
	for _, what := range k.Unread {
		lines = append(lines, pad("not readable", 20)+what)
	}
	return lines
}
