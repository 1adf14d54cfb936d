package main

import (
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cordon/policy"
	"cordon/policy/recording"
	"cordon/sandbox"
	"cordon/sandbox/record"
)

// recordFlags holds the flags of record besides those of run.
type recordFlags struct {
	runFlags
	out     string
	add     bool
	backend string
	all     bool
	running bool   // record a program that already runs; the next two fields say which
	pid     int    // its process, or
	of      string // the sandbox that it runs in
}

func newRecord(u *ui) *cobra.Command {
	var f recordFlags
	c := &cobra.Command{
		Use:   "record -o FILE [flags] {--pid PID | --of SANDBOX | [--] CMD [ARG...]}",
		Short: "Run a program and record what it does",
		Long: "Run a program and record what it does: its system calls, files and addresses, the programs that it runs and, if you\n" +
			"are root, the capabilities that it uses. cordon learn makes a profile from recordings.\n\n" +
			"Recording gives no protection. The program gets the root, the mounts and the namespaces of the profile, but no system\n" +
			"call is denied, and Landlock and limits are off. A recording can also be wrong, because the program can change the\n" +
			"memory that a call points to after cordon has read it and before the kernel reads it. Record only programs that you\n" +
			"would run without a filter.\n\n" +
			"With --pid or --of, root can record a running process with its descendants, or a running sandbox. cordon record does\n" +
			"not stop these processes, and a sandbox around them stays in force. The recording ends when you press Ctrl-C, or when\n" +
			"the process ends.",
		Example: "  cordon record -o tool.rec -- ./tool\n" +
			"  cordon record -o tool.rec --append --rw . -- ./tool --other-work\n" +
			"  cordon record -o nginx.rec --net host -- nginx -g 'daemon off;'\n" +
			"  sudo cordon record -o nginx.rec --append --pid $(cat /run/nginx.pid)\n" +
			"  sudo cordon record -o dev.rec --of dev",
		DisableFlagsInUseLine: true,
		Args:                  f.arguments,
		RunE:                  func(_ *cobra.Command, args []string) error { return u.record(&f, args) },
	}
	addRunFlags(u, c, &f.runFlags)
	fs := c.Flags()
	fs.StringVarP(&f.out, "recording", "o", "", "write the recording to `FILE` when the program ends, and every ten seconds before")
	fs.BoolVar(&f.add, "append", false, "add to the existing recording instead of replacing it")
	fs.StringVar(&f.backend, "backend", record.Auto, "`auto|bpf|notify`: bpf needs root, and makes no call wait; auto means bpf if bpf works here")
	fs.IntVar(&f.pid, "pid", 0, "record the running process `PID` and its descendants; needs root")
	fs.StringVar(&f.of, "of", "", "record the running `SANDBOX`, by its ID or name; needs root")
	fs.BoolVar(&f.all, "all-calls", false, "with notify: also record the most frequent calls, such as read and write; this makes the program several times slower")
	return c
}

func (u *ui) record(f *recordFlags, args []string) error {
	if f.out == "" {
		return &cliError{err: errors.New("record: no file for the recording"), hint: "usage: cordon record -o FILE -- CMD"}
	}
	if f.running {
		return u.recordRunning(f)
	}
	c, err := command(&f.runFlags, args)
	if err != nil {
		return err
	}
	r, err := record.New(record.Options{Backend: f.backend, AllCalls: f.all})
	if err != nil {
		return &cliError{err: errors.New("record: " + err.Error()), hint: "cordon doctor says which back ends work here; --backend notify works for every user"}
	}
	s, err := f.session(r)
	if err != nil {
		return err
	}
	s.run = recording.Run{
		Command: args, Profile: c.Profile.Name, Home: c.Host.Home, Runtime: os.Getenv("XDG_RUNTIME_DIR"),
		UID: uint32(c.Host.UID), GID: uint32(c.Host.GID), Launcher: version,
	}
	if uid := c.Profile.User.UID; uid.Set {
		s.run.UID = uid.V
	}
	if gid := c.Profile.User.GID; gid.Set {
		s.run.GID = gid.V
	}
	if c.Profile.Network.Mode != policy.NetworkHost && c.Profile.Namespaces.Net.Mode == policy.NSNew {
		s.run.Network = recording.OwnNetwork
	}
	c.Profile, c.Observer = record.Permissive(c.Profile), r
	if err := c.Start(); err != nil {
		r.Stop()
		return err
	}
	stop := s.keep()
	rep, err := ended(c, c.Wait())
	stop()
	r.Stop()
	if err != nil {
		return err
	}
	u.showRun(rep, false)
	u.code = runCode(rep)
	s.run.End = "exit " + strconv.Itoa(rep.Exit)
	if rep.Signal != "" {
		s.run.End = "signal " + strconv.Itoa(signalNumber(rep.Signal))
	}
	r.Used(rep)
	rec, err := s.write(true)
	if err != nil {
		return err
	}
	u.showRecording(f.out, rec)
	return nil
}

// session opens the output file. With --append it also reads the earlier recording.
func (f *recordFlags) session(r *record.Recorder) (*session, error) {
	before, err := f.before()
	if err != nil {
		return nil, err
	}
	out, err := openReport(f.out)
	if err != nil {
		return nil, err
	}
	if !f.add {
		if err := out.removeOld(); err != nil {
			return nil, err
		}
	}
	return &session{recorder: r, before: before, out: out}, nil
}

// before returns the earlier recording to which record adds, or nil if there is none.
func (f *recordFlags) before() (*recording.Recording, error) {
	if !f.add {
		return nil, nil
	}
	file, err := openInput(f.out)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rec, err := recording.ReadAll(f.out, file)
	if err != nil {
		return nil, &cliError{err: err, hint: "--append needs a complete recording; nothing was run"}
	}
	return rec, nil
}

// session is a recording that is being made.
type session struct {
	recorder *record.Recorder
	before   *recording.Recording
	run      recording.Run
	out      *reportFile
}

// keepEvery is the interval at which cordon saves an unfinished recording, so that little is lost if somebody kills the
// launcher.
const keepEvery = 10 * time.Second

// keep saves the unfinished recording every keepEvery, until the caller calls stop. It ignores errors, because the next
// save tries again, and the last one reports its error.
func (s *session) keep() (stop func()) {
	if s.out.file != nil { // only a regular file can be written twice
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(keepEvery)
		defer t.Stop()
		for {
			select {
			case <-end:
				return
			case <-t.C:
				_, _ = s.write(false)
			}
		}
	}()
	return func() { close(end); <-ended }
}

// stopped reports whether somebody ended the run: with ^C, by a time limit, or by a signal that kill and timeout send.
func stopped(end string) bool {
	return slices.Contains([]string{"interrupted", "signal 1", "signal 2", "signal 3", "signal 9", "signal 15"}, end)
}

// write writes the whole recording, or nothing. last says that this is the final write.
func (s *session) write(last bool) (*recording.Recording, error) {
	rec := s.recorder.Recording(s.run)
	if run := &rec.Header.Runs[0]; !last {
		run.Complete, run.Why = false, append(run.Why, "the program had not ended when this was written")
	}
	if run := &rec.Header.Runs[0]; last && stopped(run.End) {
		run.Complete = false
		run.Why = append(run.Why, "the program still ran when the recording ended ("+run.End+")")
	}
	if s.before != nil {
		sum := &recording.Recording{}
		if err := errors.Join(sum.Merge(s.before), sum.Merge(rec)); err != nil {
			return nil, &cliError{err: errors.New("record: " + err.Error())}
		}
		rec = sum
	}
	if err := s.out.put(func(w io.Writer) error { return rec.Write(w) }, last); err != nil {
		return nil, &cliError{err: because("recording "+strconv.Quote(s.out.path), err),
			hint: "an earlier recording, if there was one, is unchanged"}
	}
	return rec, nil
}

// showRecording prints what the recording contains, and what it may not contain although it happened.
func (u *ui) showRecording(file string, rec *recording.Recording) {
	run := &rec.Header.Runs[len(rec.Header.Runs)-1]
	var n [6]int
	kinds := [...]recording.Kind{recording.KindCall, recording.KindPath, recording.KindNet, recording.KindCap, recording.KindExec}
	calls := map[string]bool{}
	for i := range rec.Events {
		for k := range kinds {
			if rec.Events[i].Kind == kinds[k] {
				n[k]++
			}
		}
		calls[rec.Events[i].Call] = true
	}
	delete(calls, "")
	u.line("recorded", file+": "+strconv.Itoa(len(calls))+" system calls, "+strconv.Itoa(n[1])+" paths, "+strconv.Itoa(n[2])+" addresses, "+
		strconv.Itoa(n[3])+" capabilities, "+strconv.Itoa(len(rec.Executables))+" programs; back end "+run.Backend)
	for _, why := range run.Why {
		u.line("incomplete", why)
	}
	for _, kind := range run.Blind {
		u.line("incomplete", "the back end "+run.Backend+" sees nothing of the kind "+strings.TrimSpace(string(kind)))
	}
}

var _ sandbox.Observer = (*record.Recorder)(nil)
