package state

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"

	"cordon/policy/phrase"
)

// LogReader reads a log from its oldest record on, over all of its files, while the launcher writes it.
type LogReader struct {
	root *os.Root
	file *os.File
	in   *bufio.Reader
	part []byte // of a record that is not whole
}

// ReadLog begins to read the entry's log. It returns fs.ErrNotExist if the entry has none.
func (e *Entry) ReadLog() (*LogReader, error) {
	l := &LogReader{root: e.root}
	return l, l.oldest()
}

// Close ends the reading.
func (l *LogReader) Close() { l.file.Close() }

// Next returns the next record, and its line as it is in the file. io.EOF means that there is none yet; the caller may
// call Next again.
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
		var r LogRecord
		if json.Unmarshal(line, &r) == nil { // else it was cut off by a full disk
			return &r, line, nil
		}
	}
}

// advance continues with the next file if this file is at its end and another one follows it.
func (l *LogReader) advance() (bool, error) {
	i, err := l.number()
	if err != nil || i == 0 {
		return false, err
	}
	// Nothing is written to it any more; but something may have been since its end was seen.
	if b, err := l.in.Peek(1); err == nil && len(b) > 0 {
		return true, nil
	}
	if i < 0 { // it has been removed meanwhile, and others after it perhaps
		return true, l.oldest()
	}
	f, err := l.root.Open(logName(i - 1))
	if errors.Is(err, fs.ErrNotExist) { // this very moment they get other numbers
		return false, nil
	}
	if err != nil {
		return false, phrase.Cause(err)
	}
	l.use(f)
	return true, nil
}

// number returns the current number of the file, or -1 if it has been removed.
func (l *LogReader) number() (int, error) {
	its, err := l.file.Stat()
	if err != nil {
		return 0, phrase.Cause(err)
	}
	for i := 0; ; i++ {
		other, err := l.root.Stat(logName(i))
		switch {
		case errors.Is(err, fs.ErrNotExist) && i == 0: // it is being made
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

// oldest opens the file with the highest number.
func (l *LogReader) oldest() error {
	var last *os.File
	for i := 0; ; i++ {
		f, err := l.root.Open(logName(i))
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
	if l.file != nil {
		l.file.Close()
	}
	l.file, l.in, l.part = f, bufio.NewReaderSize(f, 64<<10), nil
}
