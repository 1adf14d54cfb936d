package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// set reads a scalar into the field that ptr points to. The file and the command line share it.
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
	case *Git:
		return setWord(k, p, s)
	case *OnDenial:
		return setWord(k, p, s)
	case *Exec:
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

// size is parseSize that holds to the key's least.
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

// word accepts one of the key's words; the first becomes "".
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

// text reads a key whose value is text of some sort.
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

// check says what is wrong with s as an item of the key's type.
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
		return checkEndpoint(s)
	case tCPUSet:
		return checkCPUSet(s)
	case tCgroup:
		return checkCgroup(s)
	case tLayer, tWord:
		return k.word(new(string), s)
	}
	return nil
}

func checkText(s string) *fault {
	if strings.ContainsRune(s, 0) {
		return bad("a NUL in a text", "")
	}
	return nil
}

func checkContent(s string) *fault {
	if len(s) > 64<<10 {
		return bad("a file of more than 64 KiB", "bind one instead")
	}
	return checkText(s)
}

// checkName accepts what can be a file's name in a profile directory and nothing else.
func checkName(s string) *fault {
	ok := s != "" && len(s) <= 64 && s[0] != '.' && s[0] != '-'
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	if !ok {
		return bad(Quote(s)+" is not a profile's name", "lower-case letters, digits, '.', '_' and '-', at most 64")
	}
	return nil
}

func checkExtends(s string) *fault {
	if strings.Contains(s, "/") {
		return checkPath(s)
	}
	return checkName(s)
}

// checkLink accepts the text of a symbolic link; it is followed inside the sandbox, so ".." does no harm.
func checkLink(s string) *fault {
	if s == "" || len(s) > maxPath {
		return bad("a symbolic link needs a text of at most 4095 bytes", "")
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return bad(Quote(s)+": a control character in a path", "")
		}
	}
	return nil
}

// checkHostname accepts a host name of at most HOST_NAME_MAX (64) bytes; it also goes into /etc/hosts.
func checkHostname(s string) *fault {
	ok := s != "" && s[0] != '-' && s[0] != '.'
	for i := 0; ok && i < len(s); i++ {
		c := lower(s[i])
		ok = 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	if !ok {
		return bad(Quote(s)+" is not a host name", "letters, digits, '.', '_' and '-'")
	}
	if len(s) > 64 {
		return bad("a host name of "+strconv.Itoa(len(s))+" bytes", "at most 64")
	}
	return nil
}

func checkEnvName(s string) *fault {
	ok := s != "" && len(s) <= 256
	for i := 0; ok && i < len(s); i++ {
		ok = s[i] > ' ' && s[i] < 0x7f && s[i] != '=' && s[i] != '*'
	}
	if !ok {
		return bad(Quote(s)+" is not a variable's name", "")
	}
	return nil
}

func checkEnvPattern(s string) *fault {
	prefix, star := strings.CutSuffix(s, "*")
	if star && prefix == "" {
		return nil
	}
	if checkEnvName(prefix) != nil || strings.ContainsAny(prefix, "?[]{}|,;$\\'\"`") {
		return bad(Quote(s)+" is not a variable's name", "a name, or a prefix and *: no other sign is a pattern")
	}
	return nil
}

// checkEndpoint accepts host:port; a name, or an address with IPv6 in brackets.
func checkEndpoint(s string) *fault {
	i := strings.LastIndexByte(s, ':')
	if i < 1 {
		return bad(Quote(s)+" has no port", "such as proxy.example.org:443")
	}
	host, port := s[:i], s[i+1:]
	if _, f := parseInt(port, 1, 65535); f != nil {
		return bad(Quote(port)+" is not a port", "1 to 65535")
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		if strings.Trim(host[1:len(host)-1], "0123456789abcdefABCDEF:.") != "" || len(host) < 4 {
			return bad(Quote(host)+" is not an address", "")
		}
		return nil
	}
	return checkHostname(host)
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

// value is the inverse of set: the text of a scalar, and whether it is unset.
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
	case *Git:
		return k.wordText(string(*p))
	case *TTY:
		return k.wordText(string(*p))
	case *OnDenial:
		return k.wordText(string(*p))
	case *Exec:
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

// copyScalar copies the field that src points to over the one that dst points to.
func copyScalar(dst, src any) {
	switch d := dst.(type) {
	case *int:
		*d = *src.(*int)
	case *string:
		*d = *src.(*string)
	case *bool:
		*d = *src.(*bool)
	case *Git:
		*d = *src.(*Git)
	case *TTY:
		*d = *src.(*TTY)
	case *OnDenial:
		*d = *src.(*OnDenial)
	case *Exec:
		*d = *src.(*Exec)
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
