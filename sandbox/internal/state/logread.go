package state

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"cordon/policy/phrase"
)

// LogReader reads a log, beginning with the oldest record, across all files of the log, while the launcher still writes
// it.
type LogReader struct {
	root *os.Root
	file *os.File
	in   *bufio.Reader
	part []byte     // the beginning of an incomplete record
	next int64      // where in the file the next record begins
	held []*os.File // files that were read before, which Back may return to; Close and Forget close them
	keep bool       // add files to held
}

// LogMark is a place between two records of a log.
type LogMark struct {
	file *os.File
	at   int64
}

// Mark returns the place of the next record. Until Forget is called, Back can return to this place, even if the file
// has been renamed or removed meanwhile.
func (l *LogReader) Mark() LogMark {
	l.keep = true
	return LogMark{l.file, l.next}
}

// Back returns to the place m, so that Next returns the record there.
func (l *LogReader) Back(m LogMark) error {
	if _, err := m.file.Seek(m.at, io.SeekStart); err != nil {
		return phrase.Cause(err)
	}
	if l.file != m.file {
		l.held = append(slices.DeleteFunc(l.held, func(f *os.File) bool { return f == m.file }), l.file)
	}
	l.file, l.in, l.part, l.next = m.file, bufio.NewReaderSize(m.file, logBuffer), nil, m.at
	return nil
}

// Forget makes all marks invalid.
func (l *LogReader) Forget() {
	for _, f := range l.held {
		f.Close()
	}
	l.held, l.keep = nil, false
}

// logBuffer is the size of the buffer for reading, in bytes.
const logBuffer = 64 << 10

// ReadLog opens a sandbox's log for reading. It returns fs.ErrNotExist if there is no log.
func (e *Entry) ReadLog() (*LogReader, error) {
	l := &LogReader{root: e.root}
	return l, l.oldest()
}

// Close closes the reader's files.
func (l *LogReader) Close() {
	l.Forget()
	l.file.Close()
}

// Next returns the next record, and its line as it is in the file. io.EOF means that there is no further record yet;
// the caller may call Next again later.
func (l *LogReader) Next() (*LogRecord, []byte, error) {
	for {
		line, err := l.in.ReadBytes('\n')
		l.part = append(l.part, line...)
		if err == io.EOF {
			more, err := l.advance()
			if err == nil && !more {
				err = io.EOF
			}
			if err != nil {
				return nil, nil, err
			}
			continue
		}
		if err != nil {
			return nil, nil, phrase.Cause(err)
		}
		line, l.part = l.part, nil
		l.next += int64(len(line))
		var r LogRecord
		if json.Unmarshal(line, &r) == nil { // an invalid line is a record that a full disk has cut off
			return &r, line, nil
		}
	}
}

// advance opens the next file of the log, if this file is read to its end and there is a next one.
func (l *LogReader) advance() (bool, error) {
	i, err := l.number()
	if err != nil || i == 0 {
		return false, err
	}
	// The launcher writes nothing more to this file. But it may have written something since the reader reached the
	// end.
	if b, err := l.in.Peek(1); err == nil && len(b) > 0 {
		return true, nil
	}
	if i < 0 { // this file has been removed, and perhaps later ones too
		return true, l.oldest()
	}
	f, err := openRegular(l.root, logName(i-1), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) { // the launcher is just renaming the files
		return false, nil
	}
	if err != nil {
		return false, phrase.Cause(err)
	}
	l.use(f)
	return true, nil
}

// number returns the present number of the open file, or -1 if it has been removed.
func (l *LogReader) number() (int, error) {
	its, err := l.file.Stat()
	if err != nil {
		return 0, phrase.Cause(err)
	}
	for i := 0; ; i++ {
		other, err := l.root.Stat(logName(i))
		switch {
		case errors.Is(err, fs.ErrNotExist) && i == 0: // the launcher is about to create the newest file
			return 0, nil
		case errors.Is(err, fs.ErrNotExist):
			return -1, nil
		case err != nil:
			return 0, phrase.Cause(err)
		case os.SameFile(its, other):
			return i, nil
		}
	}
}

// oldest opens the oldest file of the log, which has the highest number.
func (l *LogReader) oldest() error {
	var last *os.File
	for i := 0; ; i++ {
		f, err := openRegular(l.root, logName(i), os.O_RDONLY)
		if errors.Is(err, fs.ErrNotExist) && last != nil {
			break
		}
		if err != nil {
			return err
		}
		if last != nil {
			last.Close()
		}
		last = f
	}
	l.use(last)
	return nil
}

func (l *LogReader) use(f *os.File) {
	switch {
	case l.file == nil:
	case l.keep:
		l.held = append(l.held, l.file)
	default:
		l.file.Close()
	}
	l.file, l.in, l.part, l.next = f, bufio.NewReaderSize(f, logBuffer), nil, 0
}
