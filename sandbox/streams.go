package sandbox

// This file handles standard streams that are not an *os.File. Each stream gets a pipe and a goroutine that copies.

import (
	"cmp"
	"errors"
	"io"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// streams holds the pipes of a command.
type streams struct {
	theirs []*os.File     // the program's ends; the launcher closes them once the program runs
	ours   []*os.File     // the other ends
	input  func() error   // copies stdin; nil if there is nothing to copy, or once it has been started
	output []func() error // each copies stdout or stderr
	read   chan error     // receives the error of input; nil if input was not started
	done   chan error     // receives the error of each function of output
	left   int            // number of functions of output that have not ended
}

// open makes the pipes, and returns the files that stand for Stdin, Stdout and Stderr of c.
func (s *streams) open(c *Cmd) (files [3]*os.File, err error) {
	if files[0], err = s.from(c.Stdin); err != nil {
		return files, err
	}
	if files[1], err = s.to(c.Stdout); err != nil {
		return files, err
	}
	if _, ok := c.Stderr.(*os.File); !ok && sameWriter(c.Stdout, c.Stderr) {
		files[2] = files[1]
		return files, nil
	}
	files[2], err = s.to(c.Stderr)
	return files, err
}

// sameWriter reports whether two writers are the same. Values that cannot be compared are never the same.
func sameWriter(a, b io.Writer) bool {
	return a != nil && b != nil && reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// pipe makes a pipe. If reads is true, the program's end is the reading end, otherwise the writing end.
func (s *streams) pipe(reads bool) (its, our *os.File, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, &Error{Op: "pipe", Err: err}
	}
	its, our = r, w
	if !reads {
		its, our = w, r
	}
	s.theirs, s.ours = append(s.theirs, its), append(s.ours, our)
	return its, our, nil
}

// from returns the file that the program reads in place of the reader r.
func (s *streams) from(r io.Reader) (*os.File, error) {
	if f, ok := r.(*os.File); ok || r == nil {
		return f, nil
	}
	its, our, err := s.pipe(true)
	if err != nil {
		return nil, err
	}
	s.input = func() error {
		_, err := io.Copy(our, r)
		if errors.Is(err, syscall.EPIPE) { // the program need not read everything
			err = nil
		}
		return cmp.Or(err, our.Close())
	}
	return its, nil
}

// to returns the file to which the program writes in place of the writer w.
func (s *streams) to(w io.Writer) (*os.File, error) {
	if f, ok := w.(*os.File); ok || w == nil {
		return f, nil
	}
	its, our, err := s.pipe(false)
	if err != nil {
		return nil, err
	}
	s.output = append(s.output, func() error {
		_, err := io.Copy(w, our)
		our.Close() // if w fails, the program ends with SIGPIPE instead of waiting for ever
		return err
	})
	return its, nil
}

// begin starts the copying goroutines.
func (s *streams) begin() {
	if copy := s.input; copy != nil {
		s.read = make(chan error, 1)
		go func() { s.read <- copy() }()
	}
	if s.left = len(s.output); s.left > 0 {
		s.done = make(chan error, s.left)
		for _, copy := range s.output {
			go func() { s.done <- copy() }()
		}
	}
	s.input, s.output = nil, nil
}

// finish waits for the copying goroutines, and returns the first error. When over is readable, it closes the pipes that
// the goroutines use. It does not wait for a goroutine that still reads from the caller's reader; what that goroutine
// reads is lost.
func (s *streams) finish(over <-chan time.Time) (first error) {
	for s.left > 0 || s.read != nil {
		err, ended := s.next(over)
		if !ended {
			closeFiles(&s.ours)
			for s.left > 0 {
				_, _ = s.next(nil) // its pipe is closed now, so it ends
			}
			return exec.ErrWaitDelay
		}
		first = cmp.Or(first, err)
	}
	return first
}

// next waits for one goroutine to end. If over is readable before that, next returns false.
func (s *streams) next(over <-chan time.Time) (err error, ended bool) {
	select { // a goroutine that has ended counts even if the time is over
	case err = <-s.done:
		s.left--
		return err, true
	case err = <-s.read:
		s.read = nil
		return err, true
	default:
	}
	select {
	case err = <-s.done:
		s.left--
	case err = <-s.read:
		s.read = nil
	case <-over:
		return nil, false
	}
	return err, true
}

// letGo closes the launcher's copies of the program's ends.
func (s *streams) letGo() { closeFiles(&s.theirs) }

// close closes every pipe that is still open.
func (s *streams) close() {
	closeFiles(&s.theirs)
	closeFiles(&s.ours)
	s.input, s.output = nil, nil
}

func closeFiles(files *[]*os.File) {
	for _, f := range *files {
		_ = f.Close() // the caller, or the copying goroutine, may already have closed it
	}
	*files = nil
}

// StdinPipe returns a pipe to the program's stdin. Wait closes the pipe. If the program reads to the end of its input,
// the caller must close the pipe before it calls Wait.
func (c *Cmd) StdinPipe() (io.WriteCloser, error) {
	if err := c.mayPipe("Stdin", c.Stdin == nil); err != nil {
		return nil, err
	}
	its, our, err := c.streams.pipe(true)
	if err != nil {
		return nil, err
	}
	c.Stdin = its
	return our, nil
}

// StdoutPipe returns a pipe from the program's stdout. Wait closes the pipe, so the caller must read everything before
// it calls Wait.
func (c *Cmd) StdoutPipe() (io.ReadCloser, error) {
	return c.outputPipe("Stdout", &c.Stdout)
}

// StderrPipe returns a pipe from the program's stderr. It works as StdoutPipe does.
func (c *Cmd) StderrPipe() (io.ReadCloser, error) {
	return c.outputPipe("Stderr", &c.Stderr)
}

func (c *Cmd) outputPipe(name string, field *io.Writer) (io.ReadCloser, error) {
	if err := c.mayPipe(name, *field == nil); err != nil {
		return nil, err
	}
	its, our, err := c.streams.pipe(false)
	if err != nil {
		return nil, err
	}
	*field = its
	return our, nil
}

// mayPipe returns an error if the field is already set, or if the command has been started.
func (c *Cmd) mayPipe(name string, unset bool) error {
	switch {
	case !unset:
		return &Error{Op: name + " pipe", Err: errors.New("the field " + name + " is already set")}
	case c.Process != nil:
		return &Error{Op: name + " pipe", Err: errors.New("already started")}
	}
	return nil
}

// Output runs the program and returns what the program has written to stdout. If Stderr is nil and the error is an
// *ExitError, the error holds what the program has written to stderr; of a long text, it holds only the beginning and
// the end.
func (c *Cmd) Output() ([]byte, error) {
	if c.Stdout != nil {
		return nil, &Error{Op: "output", Err: errors.New("the field Stdout is already set")}
	}
	var out text
	var errs excerpt
	c.Stdout = &out
	capture := c.Stderr == nil
	if capture {
		c.Stderr = &errs
	}
	err := c.Run()
	var exit *ExitError
	if capture && errors.As(err, &exit) {
		exit.Stderr = errs.bytes()
	}
	return out, err
}

// CombinedOutput runs the program and returns what it wrote to stdout and stderr.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	if c.Stdout != nil || c.Stderr != nil {
		return nil, &Error{Op: "combined output", Err: errors.New("the field Stdout or Stderr is already set")}
	}
	var out text
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out, err
}

// text collects what is written to it.
type text []byte

// Write appends everything to the text.
func (o *text) Write(p []byte) (int, error) {
	*o = append(*o, p...)
	return len(p), nil
}

// excerpt keeps the first and the last 32 KiB that are written to it.
type excerpt struct {
	head, tail []byte
	lost       int64 // number of bytes between head and tail
}

const excerptSide = 32 << 10

// Write fills head first. After that it keeps only the last bytes, in tail.
func (e *excerpt) Write(p []byte) (int, error) {
	n := len(p)
	first := min(n, excerptSide-len(e.head))
	e.head, e.tail = append(e.head, p[:first]...), append(e.tail, p[first:]...)
	if over := len(e.tail) - excerptSide; over > 0 {
		e.lost += int64(over)
		e.tail = append(e.tail[:0], e.tail[over:]...)
	}
	return n, nil
}

// bytes returns what was kept. A line in the middle says how many bytes were left out.
func (e *excerpt) bytes() []byte {
	if e.lost == 0 {
		return append(e.head, e.tail...)
	}
	gap := "\n[" + strconv.FormatInt(e.lost, 10) + " bytes left out]\n"
	return slices.Concat(e.head, []byte(gap), e.tail)
}
