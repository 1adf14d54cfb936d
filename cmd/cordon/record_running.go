package main

import (
	"errors"
	"os"
	"os/signal"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"cordon/sandbox/record"
	"cordon/sandbox/statedir"
)

// whileRunning lists the flags of record that apply to a program that already runs.
var whileRunning = [...]string{"recording", "append", "backend", "pid", "of"}

// arguments accepts either a command to run, or a running process (--pid, --of). For a running process it refuses flags
// that only a launch can use.
func (f *recordFlags) arguments(c *cobra.Command, args []string) error {
	pid, of, other := c.Flags().Changed("pid"), c.Flags().Changed("of"), ""
	if !pid && !of {
		return needArgs(1, "the command")(c, args)
	}
	c.Flags().Visit(func(g *pflag.Flag) {
		if !slices.Contains(whileRunning[:], g.Name) {
			other = "--" + g.Name
		}
	})
	which := "--pid"
	if of {
		which = "--of"
	}
	switch {
	case pid && of:
		return usageError(c, "record: --pid and --of: a recording is of one of them")
	case len(args) > 0:
		return usageError(c, "record: "+which+" records what runs already, and takes no command")
	case other != "":
		return &cliError{err: errors.New("record: " + which + " and " + other + ": a running process keeps its root and its limits"), hint: "leave " + other + " out"}
	case f.backend == record.Notify:
		return &cliError{err: errors.New("record: the back end notify cannot watch a program that runs already: a filter is taken by a program itself"),
			hint: "run it as root, with --backend bpf; an ordinary user can record a program from its start: cordon record -o FILE -- CMD"}
	case of && f.of == "":
		return usageError(c, "record: --of: no sandbox")
	}
	f.running = true
	return nil
}

// recordRunning records a program that already runs, until the program ends or a signal arrives.
func (u *ui) recordRunning(f *recordFlags) error {
	if f.of == "" {
		to, err := record.Tree(f.pid)
		if err != nil {
			return err
		}
		return u.attach(f, to)
	}
	return u.oneSandbox(f.of, func(e *statedir.Entry) error {
		to, err := record.Sandbox(e)
		if err != nil {
			return err
		}
		return u.attach(f, to)
	})
}

func (u *ui) attach(f *recordFlags, to *record.Running) error {
	defer to.Close()
	r, err := record.New(record.Options{Backend: record.BPF})
	if err != nil {
		return &cliError{err: errors.New("record " + to.Name() + ": " + err.Error() + "; the back end notify is none for it: a filter is taken by a program itself"),
			hint: "run it as root; an ordinary user can record a program from its start: cordon record -o FILE -- CMD"}
	}
	defer r.Stop()
	s, err := f.session(r)
	if err != nil {
		return err
	}
	s.run = to.Run()
	s.run.Launcher = version
	stop, signals := make(chan struct{}), make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	defer signal.Stop(signals)
	go func() { <-signals; close(stop) }()
	if err := r.Attach(to); err != nil {
		return err
	}
	u.line("recording", to.Name()+"; ^C ends it")
	stopKeeping := s.keep()
	ended := to.Wait(stop)
	stopKeeping()
	r.Stop()
	if s.run.End = "interrupted"; ended {
		s.run.End = "ended"
	}
	rec, err := s.write(true)
	if err != nil {
		return err
	}
	u.showRecording(f.out, rec)
	return nil
}
