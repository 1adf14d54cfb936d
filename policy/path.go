package policy

import (
	"path"
	"strings"
)

// maxPath is PATH_MAX without the NUL that ends a path, in bytes.
const maxPath = 4095

// checkPath accepts what every path of a profile must be: absolute, or below the working directory or the home
// directory, and without "..", which would make its meaning depend on what it passes through.
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

// cleanPath drops what does not matter: trailing and doubled slashes, inner dots.
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

// checkPattern accepts a path that may hold globs: * ? [abc] within a name, and ** in front.
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

// checkMeaning refuses what means something in other pattern languages and would match nothing here, or something else.
func checkMeaning(s string) *fault {
	for name := range strings.SplitSeq(s, "/") {
		if strings.TrimRight(name, " ") != name {
			return bad(Quote(s)+": a blank at the end of a name", "leave it out, or write [ ] if it is meant")
		}
	}
	depth := -1 // where a brace was opened
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '[':
			end, f := checkClass(s, i)
			if f != nil {
				return f
			}
			i = end // in a class a brace is a character
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

// Beneath is what of a path comes after dir; ok is false where it is elsewhere.
func Beneath(dir, p string) (rest string, ok bool) {
	if dir == "/" {
		return strings.TrimSuffix(p, "/"), strings.HasPrefix(p, "/")
	}
	rest, ok = strings.CutPrefix(p, dir)
	return rest, ok && (rest == "" || rest[0] == '/')
}
