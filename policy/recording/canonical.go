package recording

// canonical parses a line about a path or a call, if the line is exactly as Write would write it and contains only
// printable ASCII without escapes. Nearly every line is so. For every other line, valid or not, it returns false; the
// caller must then ignore e and use the decoder.
func (r *Reader) canonical(line []byte, e *Event) bool {
	s := scanner{in: line, ok: true}
	*e = Event{Exe: -1, Count: 1, Args: e.Args[:0]}
	switch {
	case s.take(`{"kind":"path"`):
		e.Kind = KindPath
		s.exe(e)
		s.expect(`,"path":"`)
		if path := s.text(); s.ok && r.Path != nil {
			e.Path = r.Path(path)
		} else {
			e.Path = string(path)
		}
		if s.take(`,"via":"`) {
			e.Via = string(s.text())
		}
		s.access(e)
		if s.take(`,"type":"`) {
			e.Type = FileType(r.same(s.text()))
		}
	case s.take(`{"kind":"call"`):
		e.Kind = KindCall
		s.exe(e)
		s.expect(`,"call":"`)
		e.Call = r.same(s.text())
		if s.take(`,"arch":"`) {
			e.Arch = r.same(s.text())
		}
		if s.take(`,"args":{`) {
			r.args(&s, e)
		}
	default:
		return false
	}
	s.expect(`,"n":`)
	e.Count = s.number()
	if s.take(`,"errno":"`) {
		e.Errno = r.same(s.text())
	}
	s.expect("}\n")
	if len(e.Args) == 0 {
		e.Args = nil
	}
	return s.ok && s.at == len(line)
}

func (r *Reader) args(s *scanner, e *Event) {
	for len(e.Args) < maxArgs {
		s.expect(`"`)
		name := r.same(s.text())
		s.expect(":")
		e.Args = append(e.Args, Arg{name, s.number()})
		if !s.take(",") {
			break
		}
	}
	s.expect("}")
}

// scanner reads a line from left to right. ok becomes false if the line does not contain what the caller expects.
type scanner struct {
	in []byte
	at int
	ok bool
}

// take moves past text and returns true if the rest of the line begins with text.
func (s *scanner) take(text string) bool {
	end := s.at + len(text)
	if end > len(s.in) || string(s.in[s.at:end]) != text {
		return false
	}
	s.at = end
	return true
}

func (s *scanner) expect(text string) { s.ok = s.take(text) && s.ok }

func (s *scanner) exe(e *Event) {
	if s.take(`,"exe":`) {
		e.Exe = int(min(s.number(), MaxExecutables))
	}
}

// text returns the bytes before the next quotation mark. It fails if one of them is an escape or not printable ASCII.
func (s *scanner) text() []byte {
	rest := s.in[s.at:]
	for i, c := range rest {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			s.ok = c == '"' && s.ok
			s.at += i + 1
			return rest[:i]
		}
	}
	s.ok = false
	return nil
}

// number reads a whole number of up to 19 digits.
func (s *scanner) number() (v uint64) {
	from := s.at
	for s.at < len(s.in) && s.in[s.at]-'0' <= 9 {
		v = v*10 + uint64(s.in[s.at]-'0')
		s.at++
	}
	if n := s.at - from; n == 0 || n > 19 || n > 1 && s.in[from] == '0' {
		s.ok = false
	}
	return v
}

func (s *scanner) access(e *Event) {
	s.expect(`,"access":["`)
	for s.ok {
		bit := accessOf(s.text())
		s.ok = s.ok && bit != 0 && e.Access&bit == 0
		e.Access |= bit
		if !s.take(`,"`) {
			break
		}
	}
	s.expect("]")
}

// accessOf does the same as ParseAccess, but finds the most common words without a search.
func accessOf(word []byte) Access {
	switch string(word) {
	case "read":
		return Read
	case "stat":
		return Stat
	case "map":
		return Map
	case "write":
		return Write
	case "create":
		return Create
	}
	return ParseAccess(string(word))
}
