package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"cordon/sandbox"
	"cordon/sandbox/host"
	"cordon/sandbox/report"
)

func newRun(u *ui) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [flags] [--] CMD [ARG...]",
		Short: "Run a program in a sandbox",
		Long: "Run a program in a sandbox.\n\n" +
			"The command begins at the first word that is not a flag, or after --. Every word from there on belongs to the command.\n" +
			"cordon merges the profiles in the given order, and then the flags. Without -p, the profile is \"default\".",
		Example: "  cordon run ./tool\n" +
			"  cordon run --rw . --net host -- npm ci\n" +
			"  cordon run -p build --timeout 10m --report run.json -- make test",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the command"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := errors.Join(f.checkKept(c), volumeMeant(f.verbose, args)); err != nil {
				return err
			}
			u.quiet = f.quiet
			switch {
			case f.dryRun:
				return u.plan(&f, args)
			case f.keep.detach && f.keep.handover == 0:
				return u.detach(&f)
			}
			return u.run(&f, args)
		},
	}
	addRunFlags(u, c, &f)
	addKeepFlags(u, c, &f.keep)
	fs := c.Flags()
	fs.Var((*fileName)(&f.report), "report", "write a report to `FILE` as JSON; - prints text on stderr, as --verbose does")
	fs.BoolVar(&f.summary, "summary", false, "print a short summary of the run on stderr at the end")
	fs.Var((*fileName)(&f.sumFile), "summary-file", "append the summary to `FILE` as Markdown, for a CI job's summary")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "print on stderr what was enforced and what was used")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "do not print denied calls, notes and added files on stderr; the report has them")
	fs.BoolVarP(&f.interactive, "interactive", "i", false, "with --detach: keep stdin open; without --detach stdin is always open")
	fs.BoolVarP(&f.terminal, "terminal", "t", false, "give the program a terminal of its own, even if stdin, stdout and stderr are not terminals")
	fs.Var((*fileName)(&f.recordTTY), "record-tty", "record into `FILE` what the program's terminal shows, but not what you type; the format is asciicast v2")
	fs.Var(timeValue{&f.killAfter}, "kill-after", "kill the program this `TIME` after SIGTERM; by default 2s after the SIGTERM of --timeout, and never after a SIGTERM of yours")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print the plan, as cordon plan does, and run nothing")
	return c
}

// run runs the command and stores the exit code in u. If the run does not start, run still writes a report.
func (u *ui) run(f *runFlags, args []string) error {
	u.opened = true
	out, err := openFiles(f)
	if err == nil {
		err = u.runWith(f, args, out)
	}
	if err != nil {
		out.failed(args, err)
	}
	return err
}

func (u *ui) runWith(f *runFlags, args []string, out *outFiles) error {
	c, err := command(f, args)
	if err != nil {
		return err
	}
	c.Note, c.Missing = u.note, func(m report.Missing) { u.missing(m, f.verbose) }
	c.Progress = u.progress
	if out.recording != nil {
		c.RecordTTY = out.recording
	}
	if f.keep.kept() {
		return u.runKept(f, c, out)
	}
	rep, err := ended(c, c.Run())
	return u.finish(f, args, rep, out, offer(c, err))
}

// ended returns the report of a command that has run. It drops an *ExitError, because the report tells the same.
func ended(c *sandbox.Cmd, err error) (*report.Report, error) {
	var exit *sandbox.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return c.Report, nil
}

// finish prints the messages about a run, writes its files, stores what `why --last` needs, and sets the exit code in
// u. If there is no report, failed says why, and finish returns failed.
func (u *ui) finish(f *runFlags, args []string, rep *report.Report, out *outFiles, failed error) error {
	if failed != nil {
		u.keepLast(f, args, rep, failed)
		return failed
	}
	u.code = runCode(rep)
	u.keepLast(f, args, rep, nil)
	u.showRun(rep, f.verbose)
	if f.summary {
		u.showSummary(rep)
	}
	err := out.write(rep, u.code)
	if err != nil {
		u.keepLast(f, args, rep, err)
	}
	return err
}

// outFiles holds the output files of a run; a file that was not requested is nil.
type outFiles struct {
	report, summary *reportFile
	recording       *ttyRecording
	written         bool
}

// openFiles checks that cordon can write the files, and removes the report of an earlier run. A reader could take an
// old report for the report of a run that fails to start.
func openFiles(f *runFlags) (out *outFiles, err error) {
	out = &outFiles{}
	if out.report, err = wantReport(f.report, &f.verbose); err != nil {
		return out, err
	}
	if err = out.report.removeOld(); err != nil {
		return out, err
	}
	if f.sumFile != "" {
		if out.summary, err = openSummary(f.sumFile); err != nil {
			return out, err
		}
	}
	if f.recordTTY != "" {
		out.recording, err = openRecording(f.recordTTY)
	}
	return out, err
}

func (o *outFiles) write(rep *report.Report, code int) error {
	o.written = true
	err := o.recording.finish()
	if o.report != nil {
		err = errors.Join(o.report.write(rep), err)
	}
	if o.summary != nil {
		err = errors.Join(err, o.summary.add(markdown(rep, code)))
	}
	return err
}

// command makes a Cmd from the flags and arguments.
func command(f *runFlags, args []string) (*sandbox.Cmd, error) {
	if err := f.checkTerminal(); err != nil {
		return nil, err
	}
	h, err := host.Probe()
	if err != nil {
		return nil, err
	}
	p, texts, err := loadGuarded(f.profiles, f.fields, f.trust)
	if err != nil {
		return nil, err
	}
	return &sandbox.Cmd{
		Profile:  p,
		Profiles: texts,
		Search:   searched(),
		Args:     args,
		Host:     h,
		Stdin:    os.Stdin,
		Stdout:   os.Stdout,
		Stderr:   os.Stderr,

		Terminal:  f.terminal,
		KillAfter: f.killAfter,
		Exclusive: true,
		Brief:     f.brief(),
	}, nil
}

// brief reports whether no flag of the run asks for the time and memory that the run has used.
func (f *runFlags) brief() bool {
	return f.report == "" && f.sumFile == "" && !f.summary && !f.verbose && !f.keep.kept()
}

// checkTerminal refuses impossible combinations of -i and -t.
func (f *runFlags) checkTerminal() error {
	return checkTerminal(f.interactive, f.terminal)
}

// checkTerminal refuses -it without a terminal, as docker run does.
func checkTerminal(interactive, wanted bool) error {
	if !interactive || !wanted {
		return nil
	}
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err != nil {
		return &cliError{err: errors.New("-i -t: stdin is not a terminal"),
			hint: "use -i alone to keep stdin as it is, or -t alone for a terminal without input"}
	}
	return nil
}
