package recording

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"cordon/policy/phrase"
)

// Limits for one recording, because a recording may come from anyone.
const (
	MaxLine        = 1 << 20 // bytes of a line, including the header
	MaxExecutables = 1 << 16
	maxPath        = 4096
	maxName        = 64  // bytes of a call, capability, …
	maxHost        = 256 // bytes of a host name, or of an address
	maxArgs        = 6
)

// check returns what is wrong with an event. executables is the number of executables in the recording.
func (e *Event) check(executables int) error {
	if e.Exe < -1 || e.Exe >= executables {
		return errors.New("exe " + strconv.Itoa(e.Exe) + ": there is no such executable")
	}
	if e.Count == 0 {
		return errors.New("n: an event happened at least once")
	}
	if e.Errno != "" && !isWord(e.Errno, 'A', 'Z') {
		return errors.New("errno: " + phrase.Short(e.Errno) + " is no error's name")
	}
	switch e.Kind {
	case KindCall:
		return e.checkCall()
	case KindPath, KindExec:
		return e.checkPath()
	case KindNet:
		return e.Net.check()
	case KindCap:
		if !isWord(e.Cap, 'A', 'Z') {
			return errors.New("cap: " + phrase.Short(e.Cap) + " is no capability")
		}
		if e.By != "" && !isWord(e.By, 'a', 'z') {
			return errors.New("by: " + phrase.Short(e.By) + " is no function")
		}
		return nil
	case KindPeak:
		if !slices.Contains(peaks[:], e.Peak) {
			return errors.New("what: " + phrase.Short(string(e.Peak)) + " is no peak")
		}
		return nil
	}
	return errors.New("kind: " + phrase.Short(string(e.Kind)) + " is not known")
}

func (e *Event) checkCall() error {
	if !isCall(e.Call) {
		return errors.New("call: " + phrase.Short(e.Call) + " is no system call")
	}
	if e.Arch != "" && !isWord(e.Arch, 'a', 'z') {
		return errors.New("arch: " + phrase.Short(e.Arch) + " is no architecture")
	}
	if len(e.Args) > maxArgs {
		return errors.New("args: a call has six")
	}
	for i, a := range e.Args {
		if !isWord(a.Name, 'a', 'z') {
			return errors.New("args: " + phrase.Short(a.Name) + " is no argument")
		}
		for _, b := range e.Args[:i] {
			if a.Name == b.Name {
				return errors.New("args: " + phrase.Short(a.Name) + " twice")
			}
		}
	}
	return nil
}

func (e *Event) checkPath() error {
	if err := checkPath("path", e.Path); err != nil {
		return err
	}
	if e.Via != "" {
		if err := checkPath("via", e.Via); err != nil {
			return err
		}
	}
	switch {
	case e.Kind == KindExec:
	case e.Access == 0 || e.Access > AllAccess:
		return errors.New("access: nothing was done with " + phrase.Short(e.Path))
	case !slices.Contains(fileTypes[:], e.Type):
		return errors.New("type: " + phrase.Short(string(e.Type)) + " is no type of file")
	}
	return nil
}

func checkPath(key, p string) error {
	switch {
	case p == "" || p[0] != '/':
		return errors.New(key + ": " + phrase.Short(p) + " is not absolute")
	case len(p) >= maxPath:
		return errors.New(key + ": a path of more than 4095 bytes")
	case !resolved(p):
		return errors.New(key + ": " + phrase.Short(p) + " is not resolved")
	case strings.IndexByte(p, 0) >= 0:
		return errors.New(key + ": a NUL in a path")
	}
	return nil
}

// resolved reports whether path.Clean would return an absolute path unchanged.
func resolved(p string) bool {
	for i := 0; i < len(p); i++ {
		if p[i] != '/' {
			continue
		}
		switch rest := p[i+1:]; {
		case rest == "":
			return len(p) == 1
		case rest[0] == '/':
			return false
		case rest[0] == '.' && (len(rest) == 1 || rest[1] == '/' || rest[1] == '.' && (len(rest) == 2 || rest[2] == '/')):
			return false
		}
	}
	return true
}

func (n *Net) check() error {
	switch {
	case !slices.Contains(netOps[:], n.Op):
		return errors.New("op: " + phrase.Short(n.Op) + " is not connect, bind or send")
	case !isWord(n.Family, 'a', 'z'):
		return errors.New("family: " + phrase.Short(n.Family) + " is no address family")
	case n.Proto != "" && !isWord(n.Proto, 'a', 'z'):
		return errors.New("proto: " + phrase.Short(n.Proto) + " is no protocol")
	case len(n.Addr) > maxHost:
		return errors.New("addr: more than 256 bytes")
	case len(n.Name) > maxHost:
		return errors.New("name: more than 256 bytes")
	}
	return nil
}

// isCall accepts the name of a call, or # and a number.
func isCall(s string) bool {
	if len(s) > 1 && s[0] == '#' {
		_, err := strconv.ParseUint(s[1:], 10, 32)
		return err == nil
	}
	return isWord(s, 'a', 'z')
}

// isWord accepts letters of one case, digits, _ and -, at most maxName bytes.
func isWord(s string, from, to byte) bool {
	for i := range len(s) {
		c := s[i]
		if !(from <= c && c <= to || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}
