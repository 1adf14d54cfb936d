package policy

import (
	"strings"
	"unicode/utf8"
)

// Patterns that mean something elsewhere, in a shell or in POSIX, and nothing here.

// notAbsolute refuses a pattern that has no place to begin at, and says what may have been meant.
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

// classes are POSIX's names for sets of characters, as a pattern writes them here.
var classes = map[string]string{
	"alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": " ", "digit": "0-9", "lower": "a-z", "space": " ", "upper": "A-Z", "xdigit": "0-9A-Fa-f",
}

// checkClass refuses a class, which begins at i, that matches something else than it seems to, or nothing. It returns where
// the class ends. That path.Match knows the pattern was seen before.
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
	if set, ok := classes[name]; ok && mark == ":" {
		hint = "write [" + set + "]"
	}
	return bad(Quote(s)+": [["+mark+"…"+mark+"]] is not known", hint)
}

// classRune reads a character of a class, which a backslash may stand before.
func classRune(s string, i int) (r rune, end int) {
	if i < len(s) && s[i] == '\\' {
		i++
	}
	r, n := utf8.DecodeRuneInString(s[min(i, len(s)):])
	return r, i + n
}
