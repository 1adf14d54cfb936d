package recording

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// magic begins every recording.
const magic = `{"cordon":"recording"`

// headerLine is the first line of a file.
type headerLine struct {
	Cordon  string `json:"cordon"`
	Version int    `json:"version"`
	Header
}

// Write sorts the recording and writes it to w in canonical order.
func (r *Recording) Write(w io.Writer) error {
	r.Sort()
	head, err := encodeHeader(&r.Header)
	if err != nil {
		return err
	}
	b := head
	for i := range r.Executables {
		b = appendExecutable(b, i, &r.Executables[i])
		if b, err = flush(w, b, 1<<16); err != nil {
			return err
		}
	}
	for i := range r.Events {
		b = r.Events[i].appendJSON(b)
		if b, err = flush(w, b, 1<<16); err != nil {
			return err
		}
	}
	b = append(b, `{"kind":"end","records":`...)
	b = strconv.AppendInt(b, int64(len(r.Executables)+len(r.Events)), 10)
	_, err = flush(w, append(b, "}\n"...), 0)
	return err
}

// flush writes b and empties it, if b is longer than most.
func flush(w io.Writer, b []byte, most int) ([]byte, error) {
	if len(b) <= most {
		return b, nil
	}
	_, err := w.Write(b)
	return b[:0], err
}

func encodeHeader(h *Header) ([]byte, error) {
	runs := make([]Run, len(h.Runs))
	for i, run := range h.Runs {
		run.Started = run.Started.UTC().Truncate(time.Second)
		if run.Command == nil {
			run.Command = []string{}
		}
		runs[i] = run
	}
	b, err := json.Marshal(headerLine{"recording", Version, Header{h.Arch, runs}})
	if err == nil && len(b)+1 > MaxLine {
		err = errors.New("recording: the header is longer than a line may be; cut the commands short")
	}
	return append(b, '\n'), err
}

func appendExecutable(b []byte, id int, x *Executable) []byte {
	b = append(b, `{"kind":"executable","id":`...)
	b = strconv.AppendInt(b, int64(id), 10)
	b = appendKey(b, "path", x.Path)
	if x.BuildID != "" {
		b = appendKey(b, "build_id", x.BuildID)
	}
	if x.Static {
		b = append(b, `,"static":true`...)
	}
	return append(b, "}\n"...)
}

// appendJSON appends the line of the event.
func (e *Event) appendJSON(b []byte) []byte {
	b = append(append(append(b, `{"kind":"`...), e.Kind...), '"')
	if e.Exe >= 0 {
		b = strconv.AppendInt(append(b, `,"exe":`...), int64(e.Exe), 10)
	}
	b = e.appendWhat(b)
	if e.Kind == KindPeak {
		b = strconv.AppendUint(append(b, `,"value":`...), e.Value, 10)
		return append(b, "}\n"...)
	}
	b = strconv.AppendUint(append(b, `,"n":`...), e.Count, 10)
	b = appendSet(b, "errno", e.Errno)
	return append(b, "}\n"...)
}

func (e *Event) appendWhat(b []byte) []byte {
	switch e.Kind {
	case KindCall:
		b = appendSet(appendKey(b, "call", e.Call), "arch", e.Arch)
		return appendArgs(b, e.Args)
	case KindPath:
		b = appendSet(appendKey(b, "path", e.Path), "via", e.Via)
		b = append(b, `,"access":[`...)
		for i, name := range e.Access.Names() {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(append(b, '"'), name...), '"')
		}
		return appendSet(append(b, ']'), "type", string(e.Type))
	case KindExec:
		return appendSet(appendKey(b, "path", e.Path), "via", e.Via)
	case KindNet:
		n := &e.Net
		b = appendSet(appendKey(appendKey(b, "op", n.Op), "family", n.Family), "proto", n.Proto)
		b = appendSet(b, "addr", n.Addr)
		if n.Port != 0 {
			b = strconv.AppendUint(append(b, `,"port":`...), uint64(n.Port), 10)
		}
		return appendSet(b, "name", n.Name)
	case KindCap:
		return appendSet(appendKey(b, "cap", e.Cap), "by", e.By)
	default:
		return appendKey(b, "what", string(e.Peak))
	}
}

func appendArgs(b []byte, args []Arg) []byte {
	if len(args) == 0 {
		return b
	}
	b = append(b, `,"args":{`...)
	for i, a := range args {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, a.Name), ':')
		b = strconv.AppendUint(b, a.Value, 10)
	}
	return append(b, '}')
}

// appendSet does the same as appendKey, unless the value is empty.
func appendSet(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return appendKey(b, key, value)
}

func appendKey(b []byte, key, value string) []byte {
	b = append(append(append(b, `,"`...), key...), `":`...)
	return appendString(b, value)
}

// appendString appends s as JSON. A byte that is not UTF-8 becomes a lone surrogate, \udc80 to \udcff, as in PEP 383,
// because a file's name may contain any bytes and JSON may not.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, '\\', 'u', 'd', 'c', hex[c>>4], hex[c&15])
			} else {
				b = append(b, s[i:i+n]...)
			}
			i += n
			continue
		}
		i++
	}
	return append(b, '"')
}
