package paths

import "strings"

// Home returns a home directory from passwd(5) or environ(7) as a clean path, or "" if the text cannot be a home
// directory.
func Home(home string) string {
	if len(home) == 0 || home[0] != '/' {
		return ""
	}
	if home = Clean(home); home == "/" {
		return ""
	}
	return home
}

// Below reports whether path is dir or lies under it.
func Below(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir) && path[len(dir)] == '/'
}

// Moved returns path with the leading directory dir replaced by to. path must be dir or lie below it. All arguments
// must be clean.
func Moved(path, dir, to string) string {
	switch {
	case dir == to:
		return path
	case path == dir:
		return to
	case dir == "/":
		return Join(to, path[1:])
	}
	return Join(to, path[len(dir)+1:])
}

// Clean does the same as path.Clean, for absolute paths that have already been validated.
func Clean(p string) string {
	for len(p) > 1 && strings.HasSuffix(p, "/") {
		p = p[:len(p)-1]
	}
	if isClean(p) {
		return p
	}
	var out []string
	for name := range strings.SplitSeq(p, "/") {
		switch name {
		case "", ".":
		case "..":
			out = out[:max(0, len(out)-1)]
		default:
			out = append(out, name)
		}
	}
	return "/" + strings.Join(out, "/")
}

// isClean reports whether an absolute path has no empty, "." or ".." component.
func isClean(p string) bool {
	for i := 0; i+1 < len(p); i++ {
		if p[i] != '/' {
			continue
		}
		if p[i+1] == '/' {
			return false
		}
		rest := p[i+1:]
		if rest[0] == '.' &&
			(len(rest) == 1 || rest[1] == '/' || rest[1] == '.' && (len(rest) == 2 || rest[2] == '/')) {
			return false
		}
	}
	return true
}

// Join returns the path of a name in a directory.
func Join(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

// Split returns the directory and the last component of a path. The path must not be "/".
func Split(p string) (dir, name string) {
	i := strings.LastIndexByte(p, '/')
	if i == 0 {
		return "/", p[1:]
	}
	return p[:i], p[i+1:]
}
