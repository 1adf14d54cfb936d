package main

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cordon/sandbox/statedir"
)

func newPs(u *ui) *cobra.Command {
	var f psFlags
	c := &cobra.Command{
		Use:   "ps [flags]",
		Short: "List the sandboxes that run detached or have a name",
		Long: "List the sandboxes that run detached or have a name, the oldest first.\n\n" +
			"If a launcher was killed, cordon ps removes what that launcher left behind, and says so on stderr.",
		DisableFlagsInUseLine: true,
		Args:                  noArgs,
		RunE:                  func(*cobra.Command, []string) error { return u.ps(&f) },
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.BoolVarP(&f.all, "all", "a", false, "also list sandboxes that have ended")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "print only the IDs")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "also print the processes of each sandbox, as a tree")
	fs.BoolVar(&f.json, "json", false, "print JSON")
	return c
}

type psFlags struct{ all, quiet, verbose, json bool }

// shown is a sandbox in the JSON output of ps.
type shown struct {
	statedir.State
	Status    statedir.Status     `json:"status"`
	Ending    *statedir.Ending    `json:"ending,omitempty"`
	Processes []*statedir.Process `json:"processes"` // parents before children; empty once the sandbox has ended
}

type listing struct {
	Version   int     `json:"version"`
	Sandboxes []shown `json:"sandboxes"`
}

func (u *ui) ps(f *psFlags) error {
	d, err := u.openState()
	if err != nil {
		return err
	}
	defer d.Close()
	all, err := d.Entries()
	if err := u.showDamaged(err); err != nil {
		return err
	}
	list, err := listSandboxes(all, f)
	if err != nil {
		return err
	}
	switch {
	case f.json:
		return u.json(listing{1, list})
	case f.quiet:
		var b strings.Builder
		for i := range list {
			b.WriteString(list[i].ID + "\n")
		}
		return u.write(b.String())
	}
	return u.write(psTable(list, f.verbose, time.Now()))
}

func listSandboxes(all []*statedir.Entry, f *psFlags) ([]shown, error) {
	t := statedir.ProcTable{}
	if !f.quiet {
		var err error
		if t, err = statedir.Processes(); err != nil {
			return nil, err
		}
	}
	list := []shown{}
	for _, e := range all {
		l := shown{State: e.State, Status: status(e, t), Ending: e.Ending(), Processes: []*statedir.Process{}}
		ended := l.Status == statedir.StatusEnded || l.Status == statedir.StatusLost
		if !ended {
			l.Processes = append(l.Processes, t.Of(e)...)
		}
		e.Close()
		if f.all || !ended {
			list = append(list, l)
		}
	}
	return list, nil
}

func psTable(list []shown, tree bool, now time.Time) string {
	rows := [][]string{{"ID", "NAME", "STATUS", "PID", "PROCS", "AGE", "PROFILE", "COMMAND"}}
	trees := []string{""}
	for i := range list {
		l := &list[i]
		pid, procs := "-", "-"
		if l.Task != nil && len(l.Processes) > 0 {
			pid, procs = itoa(l.Task.PID), itoa(len(l.Processes))
		}
		rows = append(rows, []string{l.ID, orDash(l.Name), said(l), pid, procs, age(now.Sub(l.Created)), orDash(clean(l.Profile)), clean(strings.Join(l.Args, " "))})
		trees = append(trees, processTree(l.Processes))
	}
	text := columns(rows)
	if !tree {
		return text
	}
	var b strings.Builder
	i := 0
	for line := range strings.Lines(text) {
		b.WriteString(line + trees[i])
		i++
	}
	return b.String()
}

// said describes the status in words, with the exit code if the sandbox has ended.
func said(l *shown) string {
	s := string(l.Status)
	if l.Ending != nil {
		s += "(" + itoa(l.Ending.Code) + ")"
	}
	return s
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// processTree draws the processes as a tree. Each line shows the pid, the pid inside the sandbox, the state, the memory
// and the command.
func processTree(all []*statedir.Process) string {
	depth := map[int]int{}
	var b strings.Builder
	for i, p := range all {
		d := 1
		if up, found := depth[p.PPID]; found && i > 0 {
			d = up + 1
		}
		depth[p.PID] = d
		b.WriteString("  " + strings.Repeat("  ", d-1) + "└─ " + itoa(p.PID))
		if p.Inside != 0 {
			b.WriteString(" (" + itoa(p.Inside) + ")")
		}
		b.WriteString(" " + p.State + " " + size(p.RSS) + " " + commandOf(p, i == 0) + "\n")
	}
	return b.String()
}

// commandOf returns the command line of a process, as far as the caller may see it. The first process of a sandbox is
// cordon's init, which has the launcher's name.
func commandOf(p *statedir.Process, first bool) string {
	switch {
	case first:
		return "[init]"
	case len(p.Args) == 0:
		return "[" + clean(p.Comm) + "]"
	case filepath.Base(p.Args[0]) == p.Comm || !strings.Contains(p.Args[0], "/"):
		return clean(strings.Join(p.Args, " "))
	}
	return clean(strings.Join(p.Args, " ")) + " [" + clean(p.Comm) + "]"
}
