package state

// This file writes the log of a detached sandbox. The launcher copies the task's output from two pipes to files outside
// of the sandbox, whose total size is limited. If the launcher cannot write some bytes, for example because the disk is
// full, it counts them, and the log says so; the task continues.

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"cordon/policy/phrase"
	"cordon/sandbox/internal/fail"
)

// LogRecord is one line of the log: the bytes of one read, as JSON.
type LogRecord struct {
	Time   time.Time `json:"time"`
	Stream string    `json:"stream"`         // "stdout", "stderr", or "cordon" for the launcher's own messages
	Text   string    `json:"log,omitempty"`  // the text, if it is UTF-8 and JSON does not make more than twice as much of it
	Bytes  []byte    `json:"data,omitempty"` // otherwise the bytes, in base64
}

// Data returns the bytes that the program wrote.
func (r *LogRecord) Data() []byte {
	if r.Bytes != nil {
		return r.Bytes
	}
	return []byte(r.Text)
}

// logStreams are the names of the task's streams.
var logStreams = [...]string{"stdout", "stderr"}

// Log is the log of a sandbox as its launcher writes it.
type Log struct {
	root  *os.Root
	max   int64 // the largest size of one file, in bytes
	files int   // how many files are kept, including the newest
	pipes [2]logPipe
	stop  int // an eventfd that ends the copying
	ended chan struct{}

	mu   sync.Mutex // guards the fields below
	file *os.File
	size int64
	lost int64
	why  string
	told int64 // number of lost bytes that the log already reports
}

// logPipe is the pipe for one of the task's output streams.
type logPipe struct {
	read  int // -1 once it is closed
	write *os.File
	rest  []byte // the beginning of an incomplete character
}

// MinLogSize is the smallest allowed size limit of a log file, in bytes.
const MinLogSize = 64 << 10

// logChunk is the size of the buffer for one read, in bytes. The record of one read is at most twice as long, so it
// fits into a file of any allowed size.
const logChunk = 16 << 10

// OpenLog starts the log of a sandbox, which has at most files files of at most max bytes each. The task must write to
// Stdout and Stderr of the result.
func (e *Entry) OpenLog(max int64, files int) (*Log, error) {
	l := &Log{root: e.root, max: max, files: files, stop: -1, ended: make(chan struct{})}
	l.pipes[0].read, l.pipes[1].read = -1, -1
	err := l.open()
	for i := range l.pipes {
		var fds [2]int
		if err == nil {
			err = unix.Pipe2(fds[:], unix.O_CLOEXEC)
		}
		if err == nil {
			l.pipes[i].read, l.pipes[i].write = fds[0], os.NewFile(uintptr(fds[1]), logStreams[i])
		}
	}
	if err == nil {
		l.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC)
	}
	if err != nil {
		l.close()
		return nil, &fail.Error{Op: "log", Err: phrase.Cause(err)}
	}
	e.log = l
	go l.copy()
	return l, nil
}

// Log returns the log that OpenLog has started, or nil if OpenLog was not called.
func (e *Entry) Log() *Log { return e.log }

func (l *Log) open() (err error) {
	if l.file, err = l.root.OpenFile(logFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err == nil {
		err = l.file.Chmod(0o600) // whatever the umask is
	}
	l.size = 0
	return err
}

// Stdout returns the pipe for the task's standard output.
func (l *Log) Stdout() *os.File { return l.pipes[0].write }

// Stderr returns the pipe for the task's standard error.
func (l *Log) Stderr() *os.File { return l.pipes[1].write }

// Lost returns how many bytes could not be written, and why.
func (l *Log) Lost() (int64, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost, l.why
}

// Write adds a line of the launcher's own to the log. It never fails; Lost counts bytes that could not be written.
func (l *Log) Write(line []byte) (int, error) {
	l.record("cordon", line)
	return len(line), nil
}

// Close ends the log after the task has ended. Before that, Close copies what is left in the pipes. It does not wait
// for other processes that hold an end of a pipe.
func (l *Log) Close() {
	_, _ = unix.Write(l.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // a write to an eventfd cannot fail here
	<-l.ended
	l.mu.Lock()
	l.tellLost()
	l.mu.Unlock()
	l.close()
}

func (l *Log) close() {
	for i := range l.pipes {
		if p := &l.pipes[i]; p.write != nil {
			p.write.Close()
			p.closeRead()
		}
	}
	if l.stop >= 0 {
		unix.Close(l.stop)
	}
	if l.file != nil {
		l.file.Close()
	}
}

func (p *logPipe) closeRead() {
	if p.read >= 0 {
		unix.Close(p.read)
		p.read = -1
	}
}

// copy copies until the log is closed. The end of the task does not end it, because the launcher holds a writing end of
// each pipe too.
func (l *Log) copy() {
	defer close(l.ended)
	buf := make([]byte, logChunk)
	for {
		fds := []unix.PollFd{{Fd: int32(l.pipes[0].read), Events: unix.POLLIN}, {Fd: int32(l.pipes[1].read), Events: unix.POLLIN},
			{Fd: int32(l.stop), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return
		} else if err != nil {
			continue
		}
		for i := range l.pipes {
			if fds[i].Revents&unix.POLLIN != 0 {
				l.copyOne(i, buf)
			}
		}
		if fds[2].Revents != 0 {
			l.drain(buf)
			return
		}
	}
}

// maxDrain is the largest capacity that a pipe can have: pipe(7), /proc/sys/fs/pipe-max-size for root.
const maxDrain = 64 << 20

// drain copies what is left in the pipes.
func (l *Log) drain(buf []byte) {
	for i := range l.pipes {
		_ = unix.SetNonblock(l.pipes[i].read, true)
		for n := 0; n < maxDrain; {
			got := l.copyOne(i, buf)
			if got <= 0 {
				break
			}
			n += got
		}
		if p := &l.pipes[i]; len(p.rest) > 0 {
			l.record(logStreams[i], p.rest)
		}
	}
}

// copyOne reads once from pipe i and logs the bytes, except for an incomplete character at the end. It returns the
// number of bytes that it has read, or -1.
func (l *Log) copyOne(i int, buf []byte) int {
	p := &l.pipes[i]
	kept := copy(buf, p.rest)
	n, err := unix.Read(p.read, buf[kept:])
	if err != nil || n <= 0 {
		return -1
	}
	data := buf[:kept+n]
	whole := len(data) - unfinished(data)
	p.rest = append(p.rest[:0], data[whole:]...)
	if whole > 0 {
		l.record(logStreams[i], data[:whole])
	}
	return n
}

// unfinished returns how many bytes at the end of data are the beginning of a character that is not complete.
func unfinished(data []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(data); n++ {
		if tail := data[len(data)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return n
			}
			return 0
		}
	}
	return 0
}

// record appends a record to the log. If that fails, it counts the bytes as lost.
func (l *Log) record(stream string, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tellLost()
	if err := l.append(stream, data); err != nil {
		l.lost += int64(len(data))
		l.why = phrase.Cause(err).Error()
	}
}

// Lose counts n bytes as lost, with why as the reason. Tests use it.
func Lose(l *Log, n int64, why string) { l.lost, l.why = n, why }

// tellLost reports newly lost bytes in the log, as soon as a record can be written. l.mu must be held.
func (l *Log) tellLost() {
	if l.lost == l.told {
		return
	}
	if l.append("cordon", []byte("lost "+strconv.FormatInt(l.lost-l.told, 10)+" bytes of output that could not be logged: "+l.why+"\n")) == nil {
		l.told = l.lost
	}
}

func (l *Log) append(stream string, data []byte) error {
	r := LogRecord{Time: time.Now(), Stream: stream, Text: string(data)}
	line, err := r.encode()
	// In JSON a NUL becomes six bytes. In base64 three bytes become four.
	if err == nil && (!utf8.Valid(data) || line.Len() > 2*len(data)+maxHead) {
		r.Text, r.Bytes = "", data
		line, err = r.encode()
	}
	if err != nil {
		return err
	}
	if l.file == nil || l.size > 0 && l.size+int64(line.Len()) > l.max {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(line.Bytes())
	if err != nil {
		_ = l.file.Truncate(l.size) // remove half a record; if this fails, readers skip it
		_, _ = l.file.Seek(l.size, 0)
		return err
	}
	l.size += int64(n)
	return nil
}

// maxHead is more bytes than a record has in addition to its text.
const maxHead = 128

func (r *LogRecord) encode() (line bytes.Buffer, err error) {
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	err = enc.Encode(r)
	return line, err
}

// rotate renames each log file to the next higher number, and begins a new file.
func (l *Log) rotate() error {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	for i := l.files - 1; i > 0; i-- {
		if err := l.root.Rename(logName(i-1), logName(i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if l.files == 1 {
		_ = l.root.Remove(logFile) // a new file, so that a reader that follows the log notices
	}
	return l.open()
}

// logName returns the name of a log file; number 0 is the newest.
func logName(i int) string {
	if i == 0 {
		return logFile
	}
	return logFile + "." + strconv.Itoa(i)
}
