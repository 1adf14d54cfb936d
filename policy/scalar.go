package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// set reads a scalar into the field that ptr points to. Files and the command line both use it.
func (k *spec) set(ptr any, s string) *fault {
	switch p := ptr.(type) {
	case nil:
		return k.word(new(string), s)
	case *int:
		if s != "1" {
			return bad("version "+Quote(s)+" is not known", "this is version 1")
		}
		*p = 1
	case *string:
		return k.text(p, s)
	case *bool:
		return k.setBool(p, s)
	case *TTY:
		return setWord(k, p, s)
	case *NetworkInterface:
		return setWord(k, p, s)
	case *NetworkTLS:
		return setWord(k, p, s)
	case *Git:
		return setWord(k, p, s)
	case *OnDenial:
		return setWord(k, p, s)
	case *CacheMode:
		return setWord(k, p, s)
	case *Exec:
		return setWord(k, p, s)
	case *Init:
		return setWord(k, p, s)
	case *HostUser:
		return setWord(k, p, s)
	case *Enter:
		return setWord(k, p, s)
	case *int64:
		return into(p, s, k.size)
	case *time.Duration:
		return into(p, s, parseOffset)
	case *Namespace:
		return setNamespace(p, s)
	case *TimeNamespace:
		return setTime(p, s)
	default:
		return k.setOpt(ptr, s)
	}
	return nil
}

func (k *spec) setOpt(ptr any, s string) *fault {
	switch p := ptr.(type) {
	case *Opt[uint32]:
		if k.typ == tPerm {
			return some(p, s, parsePerm)
		}
		if s == "keep" {
			*p = Opt[uint32]{}
			return nil
		}
		return some(p, s, parseID)
	case *Opt[int]:
		return some(p, s, func(s string) (int, *fault) {
			n, f := parseInt(s, k.min, k.max)
			return int(n), f
		})
	case *Opt[int64]:
		if k.typ == tInt {
			return some(p, s, func(s string) (int64, *fault) { return parseInt(s, k.min, k.max) })
		}
		return some(p, s, k.size)
	case *Opt[float64]:
		return some(p, s, parseNumber)
	case *Opt[time.Duration]:
		return some(p, s, parseDuration)
	}
	return bad("not a single value", "")
}

// size parses s as a size in bytes, and refuses a size below the key's minimum.
func (k *spec) size(s string) (int64, *fault) {
	n, f := parseSize(s)
	if f == nil && n < k.min {
		return 0, bad(Quote(s)+" is too little", "at least "+FormatSize(k.min))
	}
	return n, f
}

func into[T any](p *T, s string, parse func(string) (T, *fault)) *fault {
	v, f := parse(s)
	if f == nil {
		*p = v
	}
	return f
}

func some[T any](p *Opt[T], s string, parse func(string) (T, *fault)) *fault {
	v, f := parse(s)
	if f == nil {
		*p = Opt[T]{Set: true, V: v}
	}
	return f
}

func setWord[T ~string](k *spec, p *T, s string) *fault {
	var w string
	if f := k.word(&w, s); f != nil {
		return f
	}
	*p = T(w)
	return nil
}

func (k *spec) setBool(p *bool, s string) *fault {
	var w string
	if f := k.word(&w, s); f != nil {
		return f
	}
	*p = w != ""
	return nil
}

// word accepts one of the key's words. It stores the first word as "".
func (k *spec) word(p *string, s string) *fault {
	i := slices.Index(k.words, s)
	if i < 0 {
		hint := didYouMean(s, k.words)
		if hint == "" {
			hint = "it is " + oneOf(k.words)
		}
		return bad(Quote(s)+" is not known here", hint)
	}
	*p = s
	if i == 0 {
		*p = ""
	}
	return nil
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + " or " + words[n]
}

// text reads the value of a key whose value is some kind of text.
func (k *spec) text(p *string, s string) *fault {
	switch k.typ {
	case tWord:
		if k.name == "generate" {
			if f := k.word(new(string), s); f != nil {
				return f
			}
			*p = s
			return nil
		}
		return k.word(p, s)
	case tUpper:
		if s == "none" {
			s = ""
		} else if s != "tmp" {
			return setPath(p, s)
		}
	case tPath, tSource:
		return setPath(p, s)
	case tCgroup:
		if f := checkCgroup(s); f != nil {
			return f
		}
		s = cleanPath(s)
	default:
		if f := k.check(s); f != nil {
			return f
		}
	}
	*p = s
	return nil
}

func setPath(p *string, s string) *fault {
	if f := checkPath(s); f != nil {
		return f
	}
	*p = cleanPath(s)
	return nil
}

// check returns what is wrong with s as a value of the key's type, or nil.
func (k *spec) check(s string) *fault {
	switch k.typ {
	case tText:
		return checkText(s)
	case tContent:
		return checkContent(s)
	case tName:
		return checkName(s)
	case tExtends:
		return checkExtends(s)
	case tPath, tSource:
		return checkPath(s)
	case tLink:
		return checkLink(s)
	case tHostname:
		return checkHostname(s)
	case tPattern:
		return checkPattern(s)
	case tEnvName:
		return checkEnvName(s)
	case tEnvPattern:
		return checkEnvPattern(s)
	case tCapability:
		return checkCapability(s)
	case tArch:
		return checkArch(s)
	case tCall:
		return checkCall(s)
	case tAction:
		return checkAction(s)
	case tEndpoint:
		return checkEndpoint(s, k.name == "deny")
	case tPublish:
		return checkPublish(s)
	case tCPUSet:
		return checkCPUSet(s)
	case tCgroup:
		return checkCgroup(s)
	case tLayer, tWord:
		return k.word(new(string), s)
	}
	return nil
}

func setNamespace(p *Namespace, s string) *fault {
	switch {
	case s == "new":
		*p = Namespace{}
	case s == "host":
		*p = Namespace{Mode: NSHost}
	case strings.HasPrefix(s, "/"):
		if f := checkPath(s); f != nil {
			return f
		}
		*p = Namespace{Mode: NSJoin, Path: cleanPath(s)}
	default:
		return badNamespace(s)
	}
	return nil
}

func badNamespace(s string) *fault {
	hint := didYouMean(s, []string{"new", "host"})
	if hint == "" {
		hint = "it is new, host or an absolute path to join"
	}
	return bad(Quote(s)+" is not a namespace", hint)
}

func setTime(p *TimeNamespace, s string) *fault {
	switch {
	case s == "new":
		*p = TimeNamespace{New: true}
	case s == "host":
		*p = TimeNamespace{}
	case strings.HasPrefix(s, "/"):
		if f := checkPath(s); f != nil {
			return f
		}
		*p = TimeNamespace{Path: cleanPath(s)}
	default:
		return badNamespace(s)
	}
	return nil
}

// value is the inverse of set. It returns the text of a scalar, and whether the scalar is unset.
func (k *spec) value(ptr any) (text string, unset bool) {
	switch p := ptr.(type) {
	case *int:
		return strconv.Itoa(*p), *p == 0
	case *string:
		if k.typ == tWord && *p == "" {
			return k.words[0], true
		}
		return *p, *p == ""
	case *bool:
		if *p {
			return k.words[1], false
		}
		return k.words[0], true
	case *NetworkInterface:
		return k.wordText(string(*p))
	case *NetworkTLS:
		return k.wordText(string(*p))
	case *Git:
		return k.wordText(string(*p))
	case *TTY:
		return k.wordText(string(*p))
	case *OnDenial:
		return k.wordText(string(*p))
	case *CacheMode:
		return k.wordText(string(*p))
	case *Exec:
		return k.wordText(string(*p))
	case *Init:
		return k.wordText(string(*p))
	case *HostUser:
		return k.wordText(string(*p))
	case *Enter:
		return k.wordText(string(*p))
	case *int64:
		return FormatSize(*p), *p == 0
	case *time.Duration:
		return formatDuration(*p), *p == 0
	case *Namespace:
		return namespaceText(*p)
	}
	return k.optValue(ptr)
}

func (k *spec) optValue(ptr any) (text string, unset bool) {
	switch p := ptr.(type) {
	case *Opt[uint32]:
		if k.typ == tPerm {
			return FormatPerm(p.V), !p.Set
		}
		if !p.Set {
			return "keep", true
		}
		return strconv.FormatUint(uint64(p.V), 10), false
	case *Opt[int]:
		return strconv.Itoa(p.V), !p.Set
	case *Opt[int64]:
		if k.typ == tInt {
			return strconv.FormatInt(p.V, 10), !p.Set
		}
		return FormatSize(p.V), !p.Set
	case *Opt[float64]:
		return strconv.FormatFloat(p.V, 'f', -1, 64), !p.Set
	case *Opt[time.Duration]:
		return formatDuration(p.V), !p.Set
	}
	return "", true
}

func (k *spec) wordText(s string) (string, bool) {
	if s == "" {
		return k.words[0], true
	}
	return s, false
}

func namespaceText(n Namespace) (string, bool) {
	switch n.Mode {
	case NSHost:
		return "host", false
	case NSJoin:
		return n.Path, false
	}
	return "new", true
}

// copyScalar copies the field at src to the field at dst.
func copyScalar(dst, src any) {
	switch d := dst.(type) {
	case *int:
		*d = *src.(*int)
	case *string:
		*d = *src.(*string)
	case *bool:
		*d = *src.(*bool)
	case *NetworkInterface:
		*d = *src.(*NetworkInterface)
	case *NetworkTLS:
		*d = *src.(*NetworkTLS)
	case *Git:
		*d = *src.(*Git)
	case *TTY:
		*d = *src.(*TTY)
	case *OnDenial:
		*d = *src.(*OnDenial)
	case *CacheMode:
		*d = *src.(*CacheMode)
	case *Exec:
		*d = *src.(*Exec)
	case *Init:
		*d = *src.(*Init)
	case *HostUser:
		*d = *src.(*HostUser)
	case *Enter:
		*d = *src.(*Enter)
	case *Namespace:
		*d = *src.(*Namespace)
	case *TimeNamespace:
		*d = *src.(*TimeNamespace)
	case *Opt[uint32]:
		*d = *src.(*Opt[uint32])
	case *Opt[int]:
		*d = *src.(*Opt[int])
	case *Opt[int64]:
		*d = *src.(*Opt[int64])
	case *Opt[float64]:
		*d = *src.(*Opt[float64])
	case *Opt[time.Duration]:
		*d = *src.(*Opt[time.Duration])
	}
}
