package policy

import (
	"strings"
	"time"
)

// This file parses values as people type them on the command line. It accepts other tools' spellings if they are
// unambiguous. In a file cordon is stricter, because a reader does not know which tool its writer had in mind.

// typed returns a value from the command line as a file would contain it.
func typed(t typ, s string) string {
	switch t {
	case tPath, tSource:
		return fromCommandLine(s)
	case tUpper:
		if s != "tmp" && s != "none" {
			return fromCommandLine(s)
		}
	case tSize:
		return typedSize(s)
	case tDuration:
		if _, ok := decimal(s); ok && s != "0" {
			return s + "s" // like timeout(1)
		}
	case tPerm:
		return typedMode(s)
	case tCapability:
		return strings.TrimPrefix(strings.ToUpper(s), "CAP_")
	}
	return s
}

// fromCommandLine turns a relative path, as people type it, into a path that a profile may contain.
func fromCommandLine(s string) string {
	if s == "" || s[0] == '/' || s[0] == '~' || s == "." || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "..") {
		return s
	}
	return "./" + s
}

// typedMode turns 0, 22 and 0o22, as umask(1) takes them, into 0000, 0022 and 0022.
func typedMode(s string) string {
	digits := strings.TrimPrefix(s, "0o")
	if digits == "" || len(digits) > 4 || strings.Trim(digits, "01234567") != "" {
		return s
	}
	return "0000"[len(digits):] + digits
}

// typedSize turns 4G, 4g, 4Gi and 4gib into 4GiB, because docker, podman, systemd and ulimit read the letter so. It
// does not change a unit with a B and no i, such as 4gb, because MB means a million bytes to some tools and a MiB to
// others.
func typedSize(s string) string {
	digits := strings.TrimRight(s, "KMGTIBkmgtib")
	switch unit := strings.ToLower(s[len(digits):]); {
	case digits == "" || unit == "" || unit == "b" || strings.IndexByte("kmgt", unit[0]) < 0:
		return s
	case unit[1:] == "" || unit[1:] == "i" || unit[1:] == "ib":
		return digits + strings.ToUpper(unit[:1]) + "iB"
	}
	return s
}

// typedBounds applies typedSize to each bound of "rbps=10M,wiops=200".
func typedBounds(s string) string {
	parts := strings.Split(s, ",")
	for i, part := range parts {
		if key, value, ok := strings.Cut(part, "="); ok {
			parts[i] = key + "=" + typedSize(value)
		}
	}
	return strings.Join(parts, ",")
}

// TypedSize reads a number of bytes as people type it on the command line: 4096, 64MiB, 1.5GiB, 2GB, and 4G or 4Gi
// for 4GiB.
func TypedSize(s string) (int64, error) {
	n, f := parseSize(typedSize(s))
	return n, f.err()
}

// TypedDuration reads a time span as people type it on the command line: 90s, 1h30m, 2d, and 10 for 10s. The time
// span is longer than 0.
func TypedDuration(s string) (time.Duration, error) {
	d, f := parseDuration(typed(tDuration, s))
	return d, f.err()
}

// otherNetwork returns a hint for a network mode of another tool, or "".
func otherNetwork(v string) string {
	switch {
	case v == "bridge" || v == "default" || v == "slirp4netns" || v == "pasta" || v == "private":
		return "none is a loopback alone, host is the host's; --net-allow HOST:PORT gives a network from which only HOST can be reached"
	case strings.HasPrefix(v, "container:") || strings.HasPrefix(v, "ns:"):
		return "a namespace is joined by its path, such as /run/netns/NAME or /proc/PID/ns/net"
	}
	return ""
}

// volumeFlag reads SOURCE:TARGET[:OPTIONS]. As in docker and podman, the bind is writable if no option says
// otherwise.
func volumeFlag(p *Profile, v string, at Pos) *fault {
	source, rest, given := cutColon(v)
	target, options, _ := cutColon(rest)
	write := true
	for o := range strings.SplitSeq(options, ",") {
		switch o {
		case "", "rw", "rbind", "rprivate", "private":
		case "ro", "readonly":
			write = false
		default:
			return bad(Quote(o)+" is no option of a bind", "ro and rw are; --mount '{bind: …, noexec: true}' says all else")
		}
	}
	switch {
	case !given:
		return bad(Quote(v)+" names no source", "--volume SOURCE:TARGET; --tmpfs "+v+" is an empty directory")
	case source == "" || strings.IndexByte("/.~", source[0]) < 0:
		return bad(Quote(source)+" is not a path: there are no named volumes", "such as ./"+source+":"+target)
	case source == target:
		return bindFlag(p, escapeColon(source), at, write)
	}
	return bindFlag(p, escapeColon(source)+":"+escapeColon(target), at, write)
}

func escapeColon(s string) string { return strings.ReplaceAll(s, ":", `\:`) }

// userFlag reads UID or UID:GID, the ids inside.
func userFlag(p *Profile, v string, at Pos) *fault {
	uid, gid, both := strings.Cut(v, ":")
	if uid == "root" {
		uid = "0"
	}
	if f := setKey(p, "user.uid", uid, at); f != nil {
		return bad(Quote(uid)+" is not an id", "a number: names are looked up on the host by `id -u "+uid+"`")
	}
	if !both {
		return nil
	}
	return setKey(p, "user.gid", gid, at)
}

// capDrop begins the position of a flag --cap-drop, which removes a capability whether or not the profile keeps it.
const capDrop = "--cap-drop "

// capDropFlag removes capabilities. A capability that the profile does not keep is no error.
func capDropFlag(p *Profile, v string, at Pos) *fault {
	name := typed(tCapability, v)
	if name != "ALL" {
		if f := checkCapability(name); f != nil {
			return f
		}
	}
	p.Remove = append(p.Remove, Removal{Section: "capabilities", Value: name, Pos: at})
	return nil
}
