package policy

import (
	"path"
	"strings"
	"unicode/utf8"
)

// maxPath is PATH_MAX in bytes, without the NUL that ends a path.
const maxPath = 4095

// checkPath accepts a path that is absolute, or that begins with the working directory (.) or the home (~). It refuses
// "..", because its meaning depends on links in the path.
func checkPath(s string) *fault {
	if f := checkPathText(s); f != nil {
		return f
	}
	switch first, _, _ := strings.Cut(s, "/"); {
	case first == "" || first == "." || first == "~":
		return nil
	case first[0] == '~':
		return bad(Quote(s)+": only one's own ~ is known", "write the absolute path")
	}
	return bad(Quote(s)+" is not absolute", "did you mean "+Quote("./"+s)+"? a path begins with /, ./ or ~/")
}

// checkPathText accepts any text that is safe in a path.
func checkPathText(s string) *fault {
	if s == "" {
		return bad("an empty path", "")
	}
	if len(s) > maxPath {
		return bad("a path of more than 4095 bytes", "")
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return bad(Quote(s)+": a control character in a path", "")
		}
	}
	for rest, part, more := s, "", true; more; {
		part, rest, more = strings.Cut(rest, "/")
		if part == ".." {
			return bad(Quote(s)+`: ".." in a path`, "write the path that is meant")
		}
		if len(part) > 255 {
			return bad("a path with a name of more than 255 bytes", "")
		}
	}
	return nil
}

// cleanPath removes parts that do not change the meaning of a path: trailing and doubled slashes, and inner dots.
func cleanPath(s string) string {
	if s == "." || s == "./" || s == "~" || path.Clean(s) == s && s[0] == '/' {
		return strings.TrimSuffix(s, "/") + rootSlash(s)
	}
	switch s[0] {
	case '.':
		if c := path.Clean(s); c != "." {
			return "./" + c
		}
		return "."
	case '~':
		return path.Clean(s)
	}
	return path.Clean(s)
}

func rootSlash(s string) string {
	if s == "/" {
		return "/"
	}
	return ""
}

// checkPattern accepts a path that may contain wildcards: * ? [abc] within a name, and **/ at the beginning.
func checkPattern(s string) *fault {
	if f := checkPathText(s); f != nil {
		return f
	}
	rest, anywhere := strings.CutPrefix(s, "**/")
	switch {
	case anywhere && (rest == "" || strings.Trim(rest, "/") == ""):
		return bad(Quote(s)+" would hide everything", "name what follows **/")
	case anywhere, strings.HasPrefix(s, "/"), strings.HasPrefix(s, "~/"):
	case s == "~":
	default:
		return notAbsolute(s)
	}
	if strings.Trim(s, "/") == "" {
		return bad(Quote(s)+" would hide everything", "")
	}
	if strings.Contains(rest, "**") {
		return bad(Quote(s)+": ** stands only in front", "")
	}
	if _, err := path.Match(rest, ""); err != nil {
		return bad(Quote(s)+" is not a pattern", "a [ must be closed, or written \\[")
	}
	return checkMeaning(s)
}

// checkMeaning refuses patterns that mean something in other pattern languages, but match nothing or something else
// here.
func checkMeaning(s string) *fault {
	for name := range strings.SplitSeq(s, "/") {
		if strings.TrimRight(name, " ") != name {
			return bad(Quote(s)+": a blank at the end of a name", "leave it out, or write [ ] if it is meant")
		}
	}
	depth := -1 // the position of the open brace; -1 if none is open
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '[':
			end, f := checkClass(s, i)
			if f != nil {
				return f
			}
			i = end // within a class a brace is an ordinary character
		case '{':
			depth = i
		case '}':
			if depth >= 0 && (strings.Contains(s[depth:i], ",") || strings.Contains(s[depth:i], "..")) {
				return bad(Quote(s)+": braces stand for themselves", "write a rule for each, or \\{ if a brace is meant")
			}
		}
	}
	return nil
}

// Beneath returns the part of p below dir. ok is false if p is neither dir nor below it.
func Beneath(dir, p string) (rest string, ok bool) {
	if dir == "/" {
		return strings.TrimSuffix(p, "/"), strings.HasPrefix(p, "/")
	}
	rest, ok = strings.CutPrefix(p, dir)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// The functions below refuse patterns that have a meaning in a shell or in POSIX, but none here.

// notAbsolute refuses a pattern that does not say where it begins, with a hint that names what the writer may have
// meant.
func notAbsolute(s string) *fault {
	const begin = "a pattern begins with /, ~/ or **/"
	first, rest, _ := strings.Cut(s, "/")
	switch {
	case s == "**":
		return bad(Quote(s)+" would hide everything", "name what is hidden: **/NAME, wherever it is")
	case first == "$HOME", first == "${HOME}":
		return bad(Quote(s)+": variables are not expanded", "write "+Quote(strings.TrimSuffix("~/"+rest, "/")))
	case strings.HasPrefix(s, "$"):
		return bad(Quote(s)+": variables are not expanded", "write the path that is meant; "+begin)
	case strings.HasPrefix(s, "~"):
		return bad(Quote(s)+": only one's own ~ is known", "write the absolute path of that home, such as "+Quote("/home/"+s[1:]))
	}
	guess := "**/" + strings.TrimPrefix(s, "./")
	if checkPattern(guess) != nil {
		return bad(Quote(s)+" is not absolute", begin)
	}
	return bad(Quote(s)+" is not absolute", "did you mean "+Quote(guess)+"? "+begin)
}

// classes lists the POSIX names for sets of characters, each with the set as a pattern writes it here.
var classes = [...]struct{ name, set string }{
	{"alnum", "0-9A-Za-z"}, {"alpha", "A-Za-z"}, {"blank", " "}, {"digit", "0-9"}, {"lower", "a-z"}, {"space", " "}, {"upper", "A-Z"},
	{"xdigit", "0-9A-Fa-f"},
}

// classSet returns the set of characters for the name of a POSIX class, or "" for another name.
func classSet(name string) string {
	for _, c := range classes {
		if c.name == name {
			return c.set
		}
	}
	return ""
}

// checkClass refuses a class such as [a-z] that matches nothing, or something else than it seems to. The class begins
// at i. It returns the end of the class. The caller has checked that path.Match accepts the pattern.
func checkClass(s string, i int) (end int, f *fault) {
	if strings.HasPrefix(s[i:], "[!") {
		return 0, bad(Quote(s)+": [!…] is not known", "write [^…]")
	}
	i++
	if strings.HasPrefix(s[i:], "^") {
		i++
	}
	for first := true; i < len(s) && (first || s[i] != ']'); first = false {
		if f := checkPosix(s, i); f != nil {
			return 0, f
		}
		at := i
		low, high := rune(0), rune(0)
		low, i = classRune(s, i)
		if high = low; i < len(s) && s[i] == '-' {
			high, i = classRune(s, i+1)
		}
		if low > high {
			return 0, bad(Quote(s)+": the range "+s[at:i]+" holds nothing", "write the lower end first: "+string(high)+"-"+string(low))
		}
	}
	return i, nil
}

// checkPosix refuses [:digit:], [.x.] and [=x=] within a class.
func checkPosix(s string, i int) *fault {
	if len(s) < i+2 || s[i] != '[' || !strings.Contains(":.=", s[i+1:i+2]) {
		return nil
	}
	mark := s[i+1 : i+2]
	name, _, _ := strings.Cut(s[i+2:], mark)
	hint := "write the characters that are meant, and \\[ for a bracket"
	if set := classSet(name); set != "" && mark == ":" {
		hint = "write [" + set + "]"
	}
	return bad(Quote(s)+": [["+mark+"…"+mark+"]] is not known", hint)
}

// classRune reads a character of a class. A backslash may precede the character.
func classRune(s string, i int) (r rune, end int) {
	if i < len(s) && s[i] == '\\' {
		i++
	}
	r, n := utf8.DecodeRuneInString(s[min(i, len(s)):])
	return r, i + n
}
