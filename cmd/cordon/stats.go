package main

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"cordon/sandbox/statedir"
)

func newStats(u *ui) *cobra.Command {
	var f statsFlags
	c := &cobra.Command{
		Use:   "stats [flags] [SANDBOX...]",
		Short: "Show what running sandboxes use, in a table that stays up to date",
		Long: "Show how much memory, processor time and disk running sandboxes use. Without a name it shows all sandboxes. On a\n" +
			"terminal, cordon updates the table in place until you press Ctrl-C or these sandboxes have ended. If the output is not\n" +
			"a terminal, cordon prints a table at every interval.\n\n" +
			"The figures come from the sandbox's cgroup. cordon marks a sandbox without a cgroup with *, and adds up the figures of\n" +
			"its processes: shared memory counts several times, and the time of processes that have ended is missing.",
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     completeSandboxes(statedir.StatusRunning),
		RunE: func(_ *cobra.Command, args []string) error {
			if f.interval < 100*time.Millisecond || f.interval > time.Hour {
				return &cliError{err: errors.New("--interval: " + f.interval.String() + " is out of range"), hint: "use a time from 100ms to 1h"}
			}
			return u.stats(&f, args)
		},
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.BoolVar(&f.once, "no-stream", false, "print one table and exit")
	f.interval = time.Second
	fs.Var(timeValue{&f.interval}, "interval", "the `TIME` between two updates; processor use is measured over this time")
	fs.BoolVar(&f.json, "json", false, "print JSON, one line for every update")
	return c
}

type statsFlags struct {
	once, json bool
	interval   time.Duration
}

// used is one row of `cordon stats`.
type used struct {
	ID     string          `json:"id"`
	Name   string          `json:"name,omitempty"`
	Status statedir.Status `json:"status"`
	CPU    *float64        `json:"cpu_percent,omitempty"` // of one processor, since the last update
	statedir.Sample
}

type statistics struct {
	Version   int    `json:"version"`
	Sandboxes []used `json:"sandboxes"`
}

// stats prints tables until it is interrupted or the named sandboxes have ended.
func (u *ui) stats(f *statsFlags, refs []string) error {
	d, err := u.openState()
	if err != nil {
		return err
	}
	defer d.Close()
	if len(refs) > 0 {
		if err := u.eachSandbox(refs, mustRun); err != nil {
			return err
		}
	}
	s := u.statsScreen(f)
	defer s.leave()
	before := map[string]statedir.Sample{}
	for look := 0; ; look++ {
		rows, err := usedNow(d, refs, before)
		if bad := new(statedir.DamagedError); look > 0 && errors.As(err, &bad) {
			err = nil // the first pass has already printed this error
		}
		if err := u.showDamaged(err); err != nil {
			return err
		}
		if look > 0 || !f.once && !f.json { // only later tables have processor times, which need two samples
			if err := s.show(rows, f.json); err != nil {
				return err
			}
		}
		if look > 0 && f.once || len(refs) > 0 && len(rows) == 0 {
			return nil
		}
		select {
		case <-time.After(f.interval):
		case sig := <-s.signals:
			u.code = exitSignal + int(sig.(syscall.Signal))
			return nil
		}
	}
}

func mustRun(e *statedir.Entry) error {
	if e.Ending() != nil {
		return &cliError{err: errors.New("sandbox " + label(&e.State) + ": has ended"), hint: "cordon inspect shows what it used"}
	}
	return nil
}

// usedNow returns a row for each named sandbox, or for every running sandbox if none is named. If it cannot read some
// sandboxes, it returns a *statedir.DamagedError too. before holds the sandboxes' values at the last update.
func usedNow(d *statedir.Dir, refs []string, before map[string]statedir.Sample) ([]used, error) {
	all, damaged := entriesOf(d, refs)
	if bad := new(statedir.DamagedError); damaged != nil && !errors.As(damaged, &bad) {
		return nil, damaged
	}
	t, err := statedir.Processes()
	if err != nil {
		return nil, err
	}
	rows := []used{}
	for _, e := range all {
		now, err := e.Sample(t)
		st := status(e, t)
		e.Close()
		if err != nil { // the sandbox has ended, or is about to end
			continue
		}
		r := used{ID: e.State.ID, Name: e.State.Name, Status: st, Sample: *now}
		if last, found := before[r.ID]; found {
			percent := max(0, 100*float64(now.CPU-last.CPU)/float64(now.At.Sub(last.At)))
			r.CPU = &percent
		}
		before[r.ID] = *now
		rows = append(rows, r)
	}
	return rows, damaged
}

func entriesOf(d *statedir.Dir, refs []string) ([]*statedir.Entry, error) {
	if len(refs) == 0 {
		return d.Entries()
	}
	var all []*statedir.Entry
	for _, ref := range refs {
		e, err := d.Find(ref)
		var gone *statedir.NotFoundError
		if errors.As(err, &gone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func statsTable(rows []used) string {
	all := [][]string{{"ID", "NAME", "STATUS", "CPU", "MEMORY", "LIMIT", "PROCS", "READ", "WRITTEN"}}
	for i := range rows {
		r := &rows[i]
		cpu, limit, mark := "-", "-", ""
		if r.CPU != nil {
			cpu = strconv.FormatFloat(*r.CPU, 'f', 1, 64) + "%"
		}
		if r.Limit > 0 {
			limit = size(r.Limit)
		}
		if r.Source == "proc" {
			mark = "*"
		}
		all = append(all, []string{r.ID, orDash(r.Name), string(r.Status), cpu, size(r.Memory) + mark, limit, itoa(r.Processes), ioBytes(r.Read), ioBytes(r.Written)})
	}
	return columns(all)
}

func ioBytes(n *int64) string {
	if n == nil {
		return "-"
	}
	return size(*n)
}

// screen is the destination of the tables: a stream, or the alternate screen of a terminal, which cordon leaves at the
// end.
type screen struct {
	u       *ui
	tty     int // -1 if it is no terminal
	signals chan os.Signal
}

// statsScreen switches the terminal to its alternate screen if the tables are to be updated in place.
func (u *ui) statsScreen(f *statsFlags) *screen {
	s := &screen{u: u, tty: -1, signals: make(chan os.Signal, 1)}
	out, ok := u.out.(*os.File)
	if !ok || f.once || f.json {
		return s
	}
	if _, err := unix.IoctlGetWinsize(int(out.Fd()), unix.TIOCGWINSZ); err != nil {
		return s
	}
	s.tty = int(out.Fd())
	signal.Notify(s.signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	_, _ = io.WriteString(u.out, "\x1b[?1049h\x1b[?25l") // switch to the alternate screen and hide the cursor
	return s
}

func (s *screen) leave() {
	if s.tty >= 0 {
		_, _ = io.WriteString(s.u.out, "\x1b[?25h\x1b[?1049l")
		signal.Stop(s.signals)
	}
}

// show prints a table over the previous one.
func (s *screen) show(rows []used, asJSON bool) error {
	if asJSON {
		return s.u.jsonLine(statistics{1, rows})
	}
	text := statsTable(rows)
	if s.tty >= 0 {
		text = s.fit(text)
	}
	return s.u.write(text)
}

// fit cuts a table to the terminal's size, which may have changed, and overwrites the previous table line by line.
func (s *screen) fit(text string) string {
	width, height := 80, 24
	if w, err := unix.IoctlGetWinsize(s.tty, unix.TIOCGWINSZ); err == nil && w.Col > 0 && w.Row > 0 {
		width, height = int(w.Col), int(w.Row)
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if hidden := len(lines) - height; hidden > 0 {
		lines = append(lines[:height-1], "… "+itoa(hidden+1)+" more")
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	for i, l := range lines {
		if r := []rune(l); len(r) > width {
			l = string(r[:width])
		}
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	return b.String()
}
