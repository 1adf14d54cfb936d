package main

import (
	"errors"
	"io"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox"
	"cordon/sandbox/host"
	"cordon/sandbox/report"
	"cordon/sandbox/statedir"
)

// keepFlags holds the flags of a run that other commands (ps, logs, exec) can find.
type keepFlags struct {
	detach   bool
	name     string
	remove   bool
	logSize  string
	logFiles int
	handover int // the descriptor by which a detached run reports to its starter; 0 if not detached
}

const (
	defaultLogSize  = "10MiB"
	defaultLogFiles = 3
	maxLogFiles     = 100
)

// addKeepFlags adds the flags of keepFlags. For speed, a launch adds only those that occur in the arguments: see
// addRunFlags.
func addKeepFlags(u *ui, c *cobra.Command, f *keepFlags) {
	fs := c.Flags()
	f.logSize, f.logFiles = defaultLogSize, defaultLogFiles
	fs.BoolVarP(&f.detach, "detach", "d", false, "print the sandbox's ID as soon as the program runs, and leave the program running; see cordon ps")
	wanted := func(name string) bool { return !u.lean || occurs("--"+name, u.args) }
	if wanted("name") {
		fs.StringVar(&f.name, "name", "", "give the sandbox a `NAME`, for use in other commands")
	}
	if wanted("rm") {
		fs.BoolVar(&f.remove, "rm", false, "with --detach: remove the sandbox's log and report when it ends")
	}
	if wanted("log-max-size") {
		fs.StringVar(&f.logSize, "log-max-size", defaultLogSize, "with --detach: begin a new log file at this `SIZE`")
	}
	if wanted("log-files") {
		fs.IntVar(&f.logFiles, "log-files", defaultLogFiles, "with --detach: keep `N` log files, including the newest")
	}
	if wanted("handover") {
		fs.IntVar(&f.handover, "handover", 0, "")
		_ = fs.MarkHidden("handover") // cannot fail: the flag exists
	}
}

// kept reports whether other commands can find the run.
func (f *keepFlags) kept() bool { return f.detach || f.name != "" }

// checkKept refuses flags that contradict each other, and values that are out of range.
func (f *runFlags) checkKept(c *cobra.Command) error {
	changed := c.Flags().Changed
	switch size, err := policy.TypedSize(f.keep.logSize); {
	case err != nil:
		return &cliError{err: errors.New("--log-max-size: " + err.Error())}
	case size < statedir.MinLogSize:
		return &cliError{err: errors.New("--log-max-size: " + f.keep.logSize + " is too small"), hint: "use at least " + policy.FormatSize(statedir.MinLogSize)}
	case f.keep.logFiles < 1 || f.keep.logFiles > maxLogFiles:
		return &cliError{err: errors.New("--log-files: " + strconv.Itoa(f.keep.logFiles) + " is out of range"), hint: "use a number from 1 to " + strconv.Itoa(maxLogFiles)}
	case !f.keep.detach && (changed("log-max-size") || changed("log-files")):
		return &cliError{err: errors.New("--log-max-size and --log-files need --detach"), hint: "without --detach there is no log: the output goes to your terminal or file"}
	}
	if !f.keep.detach {
		return nil
	}
	if _, fd := descriptor(f.report); fd || f.report == "-" {
		return &cliError{err: errors.New("--report " + f.report + " cannot be used with --detach"), hint: "name a file; cordon inspect ID also shows the report"}
	}
	if changed("terminal") || changed("record-tty") || f.interactive && f.keep.handover == 0 && terminal(os.Stdin) {
		return &cliError{err: errors.New("a detached program cannot use your terminal"), hint: "leave --detach out to use the terminal; with --interactive a detached program reads a file or a pipe"}
	}
	return nil
}

// detach runs this command again in a new session, and waits until the program runs there or an error has stopped it.
// Until then, errors appear on the caller's stderr.
func (u *ui) detach(f *runFlags) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	// Other descriptors of the caller must not stay open as long as the sandbox lives.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return &cliError{err: errors.New("close_range: " + err.Error()), hint: "this needs Linux 5.11"}
	}
	stdin := null
	if f.interactive {
		stdin = os.Stdin
	}
	u.opened = true // the new process opens the output files
	args := slices.Concat([]string{"cordon", u.args[0], "--handover=3"}, u.args[1:])
	p, err := os.StartProcess("/proc/self/exe", args, &os.ProcAttr{
		Files: []*os.File{stdin, null, os.Stderr, w},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	w.Close()
	if err != nil {
		return &cliError{err: because("detach", err)}
	}
	id, err := io.ReadAll(r)
	if err == nil && len(id) > 0 {
		return u.write(string(id))
	}
	state, err := p.Wait()
	if err != nil {
		return err
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return &cliError{err: errors.New("detach: the launcher was ended by " + ws.Signal().String()), code: exitSignal + int(ws.Signal())}
	}
	return quiet(max(state.ExitCode(), 1))
}

// runKept runs a command that other commands can find by its entry in the state directory.
func (u *ui) runKept(f *runFlags, c *sandbox.Cmd, out *outFiles) error {
	e, err := u.newEntry(f, c)
	if err != nil {
		return err
	}
	defer e.Close()
	c.State = e
	if f.keep.detach {
		err = redirect(f, c, e)
	}
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return errors.Join(err, e.Discard())
	}
	if f.keep.detach {
		if err := u.handOver(f, c, e); err != nil {
			return err
		}
	}
	rep, err := ended(c, c.Wait())
	err = u.finish(f, c.Args, rep, out, err)
	if f.keep.detach {
		if err != nil {
			u.fail(err) // in a detached run this goes to the log
		}
		e.Log().Close()
	}
	return errors.Join(err, u.end(f, e, rep, err))
}

// end stores how the run ended, for commands that wait for it. It removes the sandbox's entry if the run is not
// detached, or with --rm.
func (u *ui) end(f *runFlags, e *statedir.Entry, rep *report.Report, failed error) error {
	end := statedir.Ending{Code: u.code}
	if rep != nil {
		end.Signal, end.Limit = rep.Signal, rep.Limit
	}
	if failed != nil {
		end.Code, end.Error = exitCode(failed), failed.Error()
	}
	err := e.End(end, rep)
	if !f.keep.detach || f.keep.remove {
		err = e.Discard()
	}
	return err
}

// newEntry makes the run's entry in the state directory.
func (u *ui) newEntry(f *runFlags, c *sandbox.Cmd) (*statedir.Entry, error) {
	d, err := u.openState()
	if err != nil {
		return nil, err
	}
	return d.Create(statedir.State{
		Name:       f.keep.name,
		Profile:    c.Profile.Name,
		Args:       c.Args,
		Cwd:        c.Host.Cwd,
		Home:       c.Host.Home,
		Detached:   f.keep.detach,
		AutoRemove: f.keep.remove || !f.keep.detach,
	})
}

// redirect makes the program write to the log. The program reads nothing unless the user gave --interactive.
func redirect(f *runFlags, c *sandbox.Cmd, e *statedir.Entry) error {
	size, err := policy.TypedSize(f.keep.logSize)
	if err != nil {
		return err
	}
	l, err := e.OpenLog(size, f.keep.logFiles)
	if err != nil {
		return err
	}
	c.Stdout, c.Stderr = l.Stdout(), l.Stderr()
	if !f.interactive {
		c.Stdin = nil
	}
	return nil
}

// handOver tells the command that started this detached run that the program runs, closes the caller's files, and frees
// memory. If that command has ended, nobody knows about the sandbox, so handOver kills it.
func (u *ui) handOver(f *runFlags, c *sandbox.Cmd, e *statedir.Entry) error {
	_, err := unix.Write(f.keep.handover, []byte(e.State.ID+"\n"))
	unix.Close(f.keep.handover)
	if err != nil {
		_ = c.Process.Kill() // an error means that the program is already gone
		_ = c.Wait()
		return errors.Join(errors.New("detach: the caller is gone: "+err.Error()), e.Discard())
	}
	u.err = e.Log()
	if err := leave(); err != nil {
		u.line("error", "detach: "+err.Error())
	}
	debug.SetGCPercent(20)
	debug.FreeOSMemory()
	return nil
}

// leave closes the caller's standard files, and leaves the caller's working directory.
func leave() error {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	for fd := range 3 {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return err
		}
	}
	return os.Chdir("/")
}

// openState opens the state directory, and removes what killed launchers have left there.
func (u *ui) openState() (*statedir.Dir, error) {
	d, err := statedir.Open(host.StatePath(os.Getenv))
	if err != nil {
		return nil, err
	}
	swept, err := d.Sweep()
	for _, s := range swept {
		u.line("removed", "sandbox "+label(&s)+", whose launcher was killed: "+strings.Join(s.Args, " "))
	}
	if err := u.showDamaged(err); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// showDamaged prints which entries of the state directory cannot be read, and returns nil. It returns an error of any
// other type unchanged.
func (u *ui) showDamaged(err error) error {
	var bad *statedir.DamagedError
	if !errors.As(err, &bad) {
		return err
	}
	for _, err := range bad.Entries {
		text := err.Error()
		if advice := hint(err); advice != "" {
			text += "; " + advice
		}
		u.line("missing", text)
	}
	return nil
}

// label returns the name or id of a sandbox, for messages.
func label(s *statedir.State) string {
	if s.Name == "" {
		return s.ID
	}
	return s.ID + " (" + s.Name + ")"
}
