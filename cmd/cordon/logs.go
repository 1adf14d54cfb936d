package main

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"cordon/policy"
	"cordon/sandbox/statedir"
)

func newLogs(u *ui) *cobra.Command {
	var f logsFlags
	c := &cobra.Command{
		Use:   "logs [flags] SANDBOX",
		Short: "Print the output of the program in a detached sandbox",
		Long: "Print the output of the program in a detached sandbox. The program's standard output goes to stdout; its standard\n" +
			"error and the launcher's messages go to stderr. On a terminal, cordon shows control characters as text. Into a pipe or\n" +
			"a file, it writes exactly the bytes of the program.",
		DisableFlagsInUseLine: true,
		Args:                  cobra.MatchAll(needArgs(1, "the sandbox"), atMost(1)),
		ValidArgsFunction:     completeSandboxes(),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := f.parse(time.Now()); err != nil {
				return err
			}
			return u.oneSandbox(args[0], func(e *statedir.Entry) error { return u.logs(e, &f) })
		},
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.BoolVarP(&f.follow, "follow", "f", false, "keep printing until the sandbox ends")
	fs.StringVarP(&f.tailText, "tail", "n", "all", "print only the last `N` lines")
	fs.StringVar(&f.sinceText, "since", "", "print only lines since `TIME`: 2006-01-02T15:04:05Z, or a duration before now, such as 10m")
	fs.BoolVarP(&f.times, "timestamps", "t", false, "print the time before every line")
	fs.BoolVar(&f.json, "json", false, "print the stored records: JSON, one on each line")
	return c
}

type logsFlags struct {
	follow, times, json bool
	tailText, sinceText string

	tail  int // number of lines; -1 means all
	since time.Time
}

func (f *logsFlags) parse(now time.Time) (err error) {
	f.tail = -1
	if f.tailText != "all" {
		if f.tail, err = strconv.Atoi(f.tailText); err != nil || f.tail < 0 {
			return &cliError{err: errors.New("--tail: " + strconv.Quote(f.tailText) + " is not a number of lines"), hint: "use a number, or all"}
		}
	}
	if f.sinceText == "" {
		return nil
	}
	if d, err := policy.TypedDuration(f.sinceText); err == nil {
		f.since = now.Add(-d)
		return nil
	}
	if f.since, err = time.Parse(time.RFC3339, f.sinceText); err != nil {
		return &cliError{err: errors.New("--since: " + strconv.Quote(f.sinceText) + " is not a time"), hint: "for example 2006-01-02T15:04:05Z, or 10m for ten minutes ago"}
	}
	return nil
}

// logs prints a sandbox's log. With --follow it continues until the sandbox ends.
func (u *ui) logs(e *statedir.Entry, f *logsFlags) error {
	r, err := e.ReadLog()
	if notExist(err) {
		return &cliError{err: errors.New("sandbox " + label(&e.State) + ": has no log"), hint: "only a sandbox that was started with --detach has a log"}
	}
	if err != nil {
		return err
	}
	defer r.Close()
	p := &logPrinter{u: u, flags: f}
	if err := p.head(r); err != nil {
		return err
	}
	for f.follow {
		over := e.Status() != statedir.StatusRunning && e.Status() != statedir.StatusStarting // before the last read
		if err := p.rest(r); err != nil {
			return err
		}
		if over {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if end := e.Ending(); end != nil && end.LogLost > 0 {
		u.line("missing", "log of sandbox "+label(&e.State)+": "+size(end.LogLost)+" of output could not be logged: "+end.LogError)
	}
	return nil
}

// logPrinter prints records.
type logPrinter struct {
	u     *ui
	flags *logsFlags
	open  bool // the last printed line is not finished
}

// lineCount numbers the lines of a log. One line may be spread over several records, with records of other streams
// between them.
type lineCount struct {
	begun int            // number of lines that have begun
	open  map[string]int // maps a stream to the number of its unfinished line
}

// number returns the number of the line that a piece of a stream belongs to.
func (c *lineCount) number(stream string, piece []byte) int {
	n, found := c.open[stream]
	if !found {
		n = c.begun
		c.begun++
		c.open[stream] = n
	}
	if piece[len(piece)-1] == '\n' {
		delete(c.open, stream)
	}
	return n
}

// logPlace is a position in the log: a record, and how many records and lines come before it.
type logPlace struct {
	at      statedir.LogMark
	records int
	lines   lineCount
}

// head prints the records that the log already has, or with --tail only the last lines. Lines can be long, so head
// keeps none of them: it first finds where the last lines begin, and then reads again from there.
func (p *logPrinter) head(r *statedir.LogReader) error {
	if p.flags.tail < 0 {
		return p.rest(r)
	}
	defer r.Forget()
	first, now, err := p.findTail(r)
	if err != nil || first == nil {
		return err
	}
	if err := r.Back(first.at); err != nil {
		return err
	}
	from, left := now.lines.begun-p.flags.tail, now.records-first.records
	for lines := first.lines; left > 0 && err == nil; left-- {
		var rec *statedir.LogRecord
		var line []byte
		if rec, line, err = p.next(r); err != nil {
			break
		}
		for _, piece := range p.pieces(rec, line) {
			if lines.number(rec.Stream, piece) >= from && err == nil {
				err = p.print(rec, piece)
			}
		}
	}
	if err == io.EOF { // the launcher has removed the oldest file meanwhile
		return nil
	}
	return err
}

// findTail reads the log to its end. It returns the record in which the first of the last lines begins, or nil if there
// is no such line, and the end.
func (p *logPrinter) findTail(r *statedir.LogReader) (first *logPlace, now logPlace, err error) {
	now.lines.open = map[string]int{}
	var last []*logPlace // for each of the last lines, the place where it begins
	for {
		here := logPlace{r.Mark(), now.records, lineCount{now.lines.begun, maps.Clone(now.lines.open)}}
		rec, line, err := p.next(r)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, now, err
		}
		now.records++
		for _, piece := range p.pieces(rec, line) {
			now.lines.number(rec.Stream, piece)
		}
		for range now.lines.begun - here.lines.begun {
			last = append(last, &here)
		}
		last = last[max(0, len(last)-p.flags.tail):]
	}
	if len(last) == 0 {
		return nil, now, nil
	}
	return last[0], now, nil
}

// rest prints the records that have arrived since the last read.
func (p *logPrinter) rest(r *statedir.LogReader) error {
	return p.each(r, func(rec *statedir.LogRecord, line []byte) error {
		for _, piece := range p.pieces(rec, line) {
			if err := p.print(rec, piece); err != nil {
				return err
			}
		}
		return nil
	})
}

// each calls do for every record that is not older than --since.
func (p *logPrinter) each(r *statedir.LogReader, do func(rec *statedir.LogRecord, line []byte) error) error {
	for {
		rec, line, err := p.next(r)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = do(rec, line)
		}
		if err != nil {
			return err
		}
	}
}

// next returns the next record that is not older than --since.
func (p *logPrinter) next(r *statedir.LogReader) (*statedir.LogRecord, []byte, error) {
	for {
		rec, line, err := r.Next()
		if err != nil || !rec.Time.Before(p.flags.since) {
			return rec, line, err
		}
	}
}

// pieces returns the lines of a record. The last of them may be unfinished.
func (p *logPrinter) pieces(rec *statedir.LogRecord, line []byte) [][]byte {
	if p.flags.json {
		return [][]byte{line}
	}
	all := bytes.SplitAfter(rec.Data(), []byte("\n"))
	if len(all[len(all)-1]) == 0 {
		all = all[:len(all)-1]
	}
	return all
}

// print writes a line, or a part of one, to the stream to which it belongs.
func (p *logPrinter) print(rec *statedir.LogRecord, data []byte) error {
	to := p.u.out
	if rec.Stream != "stdout" && !p.flags.json {
		to = p.u.err
	}
	if p.flags.times && !p.flags.json && !p.open {
		data = append([]byte(rec.Time.Format(time.RFC3339Nano)+" "), data...)
	}
	p.open = len(data) > 0 && data[len(data)-1] != '\n'
	if terminal(to) {
		data = onTerminal(data)
	}
	if _, err := to.Write(data); err != nil {
		return &cliError{err: because("write the log", err)}
	}
	return nil
}

// onTerminal makes a part of a log safe for a terminal.
func onTerminal(data []byte) []byte {
	var out []byte
	for line := range bytes.Lines(data) {
		text := bytes.TrimRight(line, "\r\n")
		for i, cell := range bytes.Split(text, []byte("\t")) {
			if i > 0 {
				out = append(out, '\t')
			}
			out = append(out, clean(string(cell))...)
		}
		if len(text) < len(line) {
			out = append(out, '\n')
		}
	}
	return out
}
