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

// LogReader reads a log from its oldest record on, across all of its files, while the launcher still writes it.
type LogReader struct {
	root *os.Root
	file *os.File
	in   *bufio.Reader
	part []byte // the beginning of an incomplete record
}

// ReadLog opens a sandbox's log for reading. It returns fs.ErrNotExist if there is no log.
func (e *Entry) ReadLog() (*LogReader, error) {
	l := &LogReader{root: e.root}
	return l, l.oldest()
}

// Close closes the reader's file.
func (l *LogReader) Close() { l.file.Close() }

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
		var r LogRecord
		if json.Unmarshal(line, &r) == nil { // an invalid line is a record that a full disk has cut off
			return &r, line, nil
		}
	}
}

// advance opens the next file of the log if this one is read to its end and another one follows.
func (l *LogReader) advance() (bool, error) {
	i, err := l.number()
	if err != nil || i == 0 {
		return false, err
	}
	// The launcher writes nothing more to this file. But it may have written after the reader had reached the end.
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
	if l.file != nil {
		l.file.Close()
	}
	l.file, l.in, l.part = f, bufio.NewReaderSize(f, 64<<10), nil
}
