package recording

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"cordon/policy/phrase"
)

// Error describes what is wrong with the file of a recording.
type Error struct {
	File      string
	Line      int // from 1; 0 if the error is about the whole file
	Msg       string
	Hint      string // what to do about it; may be empty
	Truncated bool   // the file ends too early; everything before the end is valid
	err       error  // the error of reading the file
}

func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s += ":" + strconv.Itoa(e.Line)
	}
	return s + ": " + e.Msg
}

func (e *Error) Unwrap() error { return e.err }

// Reader reads a recording. It holds only one line and the executables in memory.
type Reader struct {
	Header      Header
	Executables []Executable // the executables read so far; complete once Next has returned the first event

	// Path returns an event's path as a string. A caller that already has most paths can return its own string. If Path
	// is nil, the Reader makes a new string each time.
	Path func([]byte) string

	file    string
	in      *bufio.Reader
	line    int
	records uint64
	events  bool // the reader has read an event
	calls   map[string]string
	done    error
}

// NewReader reads the header. Errors use file as the name of the recording.
func NewReader(file string, r io.Reader) (*Reader, error) {
	rd := &Reader{file: file, in: bufio.NewReaderSize(r, MaxLine), calls: map[string]string{}}
	line, err := rd.next()
	if errors.Is(err, io.EOF) {
		return nil, rd.fail("the recording is empty", "the recorder was killed before it could write, or the disk was full")
	}
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(line, []byte(magic)) {
		return nil, rd.fail("not a recording", foreign(line))
	}
	if err := rd.header(line); err != nil {
		return nil, err
	}
	return rd, nil
}

// foreign says what a file seems to be instead of a recording.
func foreign(line []byte) string {
	for _, f := range [...]struct{ begins, is string }{
		{"\x7fELF", "it is a program; record it: cordon record -o FILE -- COMMAND"},
		{"PERFILE", "it is of perf record; cordon record writes what learn reads"},
		{"\x1f\x8b", "it is compressed: gunzip it first"},
		{"\x28\xb5\x2f\xfd", "it is compressed: unzstd it first"},
		{"version:", "it is a profile; cordon profile check reads it"},
		{"#!", "it is a script; record it: cordon record -o FILE -- COMMAND"},
		{`{"version":`, "it may be a terminal's recording (asciicast) or a report"},
		{`{"type":`, "it may be of another program's recorder"},
		{"{\n", "it is JSON, but no recording: a recording's first line begins with " + magic},
	} {
		if bytes.HasPrefix(line, []byte(f.begins)) {
			return f.is
		}
	}
	if i := bytes.IndexByte(line, '('); i > 0 && bytes.Contains(line, []byte(") ")) {
		return "it looks like the output of strace; cordon record writes what learn reads"
	}
	return "a recording is written by cordon record"
}

// header reads the first line.
func (r *Reader) header(line []byte) error {
	var v struct{ Version int }
	if err := json.Unmarshal(line, &v); err != nil {
		if !bytes.HasSuffix(line, []byte("\n")) {
			return r.truncated()
		}
		return r.fail("the header is not JSON: "+err.Error(), "")
	}
	if v.Version > Version {
		return r.fail("a recording of version "+strconv.Itoa(v.Version)+"; this cordon reads version "+strconv.Itoa(Version),
			"it was written by a newer cordon: use that one")
	}
	if v.Version < 1 {
		return r.fail("a recording has a version, from 1", "")
	}
	h := headerLine{}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return r.fail("the header: "+err.Error(), "")
	}
	if len(h.Runs) == 0 {
		return r.fail("the header names no run", "")
	}
	if h.Arch != "" && !isWord(h.Arch, 'a', 'z') {
		return r.fail("the header: arch: "+phrase.Short(h.Arch)+" is no architecture", "")
	}
	r.Header = h.Header
	return nil
}

// Next reads an event into e, and may reuse the memory of e. After the last event the error is io.EOF; any other error
// is an *Error. If the Error's Truncated is set, all earlier events are still valid. Next cannot continue after an
// error.
func (r *Reader) Next(e *Event) error {
	for r.done == nil {
		line, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			r.done = r.truncated()
		case err != nil:
			r.done = err
		default:
			var ended bool
			if ended, r.done = r.record(line, e); !ended && r.done == nil {
				return nil
			}
		}
	}
	return r.done
}

// record parses a line. more is true if the line is not an event, so that another line must be read.
func (r *Reader) record(line []byte, e *Event) (more bool, err error) {
	if r.canonical(line, e) {
		return false, r.event(e)
	}
	d := decoder{in: line, r: r}
	kind := d.line(e)
	if d.err == "" && kind == "end" {
		return true, r.ends(d.number)
	}
	if d.err == "" && !bytes.HasSuffix(line, []byte("\n")) {
		return false, r.truncated()
	}
	switch {
	case d.err != "" && !bytes.HasSuffix(line, []byte("\n")):
		return false, r.truncated()
	case d.err != "":
		return false, r.fail(d.err, d.hint)
	case kind == "executable" && r.events:
		return false, r.fail("an executable after the first event", "")
	case kind == "executable":
		return true, r.executable(&d)
	}
	return false, r.event(e)
}

// event checks an event and counts it.
func (r *Reader) event(e *Event) error {
	if err := e.check(len(r.Executables)); err != nil {
		return r.fail(err.Error(), "")
	}
	r.records++
	r.events = true
	e.Line = r.line
	return nil
}

func (r *Reader) executable(d *decoder) error {
	x := d.executable
	if d.number != uint64(len(r.Executables)) {
		return r.fail("the executables are not numbered from 0", "")
	}
	if len(r.Executables) == MaxExecutables {
		return r.fail("more than "+strconv.Itoa(MaxExecutables)+" executables", "")
	}
	if err := checkPath("path", x.Path); err != nil {
		return r.fail(err.Error(), "")
	}
	if x.BuildID != "" && !isWord(x.BuildID, 'a', 'f') {
		return r.fail("build_id: "+phrase.Short(x.BuildID)+" is not hexadecimal", "")
	}
	r.records++
	r.Executables = append(r.Executables, x)
	return nil
}

// ends handles the last line. It returns io.EOF if the recording is complete and nothing follows.
func (r *Reader) ends(records uint64) error {
	if records != r.records {
		return r.fail("the recording has "+strconv.FormatUint(r.records, 10)+" records, and its last line says "+strconv.FormatUint(records, 10),
			"it was edited, or lines are missing")
	}
	rest, err := r.next()
	if err == nil && len(bytes.TrimSpace(rest)) == 0 {
		rest, err = r.next()
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err != nil {
		return err
	}
	if bytes.HasPrefix(rest, []byte(magic)) {
		return r.fail("a second recording in the file", "cordon record --append joins recordings; learn takes several files")
	}
	return r.fail("something after the end", "")
}

// next returns the next line with its newline. The line is valid until the next call.
func (r *Reader) next() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if len(line) > 0 {
		r.line++
	}
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, r.fail("a line of more than "+strconv.Itoa(MaxLine)+" bytes", "")
	case errors.Is(err, io.EOF) && len(line) > 0:
		return line, nil
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case err != nil:
		e := r.fail(err.Error(), "")
		e.err = err
		return nil, e
	}
	return line, nil
}

func (r *Reader) fail(msg, hint string) *Error {
	return &Error{File: r.file, Line: r.line, Msg: msg, Hint: hint}
}

func (r *Reader) truncated() *Error {
	e := r.fail("the recording ends too early, after "+strconv.FormatUint(r.records, 10)+" records",
		"the recorder was killed, or the disk was full; what is there can be used, and is not complete")
	e.Truncated = true
	return e
}

// ReadAll reads a whole recording. If the recording is truncated, ReadAll returns both what it read and an error.
func ReadAll(file string, in io.Reader) (*Recording, error) {
	r, err := NewReader(file, in)
	if err != nil {
		return nil, err
	}
	rec := &Recording{Header: r.Header}
	for {
		var e Event
		err := r.Next(&e)
		if rec.Executables == nil {
			rec.Executables = r.Executables
		}
		var bad *Error
		switch {
		case errors.Is(err, io.EOF):
			return rec, nil
		case errors.As(err, &bad) && bad.Truncated:
			rec.Executables = r.Executables
			return rec, err
		case err != nil:
			return nil, err
		}
		e.Line = 0
		if err := rec.Add(&e); err != nil {
			return nil, r.fail(err.Error(), "")
		}
	}
}
