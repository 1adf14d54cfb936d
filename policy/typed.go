package policy

import (
	"slices"
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
			return s + "s" // timeout(1) also reads a plain number as seconds
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

// typedSize turns 4G, 4g, 4Gi and 4gib into 4GiB, because docker, podman, systemd and ulimit give the letter this
// meaning. It does not change a unit with a B and no i, such as 4gb, because MB means a million bytes to some tools and
// a MiB to others.
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

// capDrop begins the position of a value that a flag --cap-drop has set. Such a removal is valid even if the profile
// does not keep the capability.
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

// otherWords lists flags of other tools that take no value. Each sets a key of the profile to a value.
var otherWords = [...]struct{ flag, key, value string }{
	{"--read-only", "root.mode", "ro"},
	{"--as-pid-1", "process.init", "none"},
	{"--unshare-user", "namespaces.user", "new"},
	{"--unshare-pid", "namespaces.pid", "new"},
	{"--unshare-ipc", "namespaces.ipc", "new"},
	{"--unshare-uts", "namespaces.uts", "new"},
	{"--unshare-cgroup", "namespaces.cgroup", "new"},
}

// otherWord sets the key that a flag of otherWords stands for.
func otherWord(p *Profile, v string, at Pos) *fault {
	flag, _, _ := strings.Cut(at.Flag, " ")
	switch {
	case v != "true" && flag == "--read-only":
		return bad("--read-only takes no value here", "--ro "+v+" shows a path read-only")
	case v != "true":
		return bad(flag+" takes no value", "")
	case flag == "--die-with-parent": // cordon kills every sandbox if its launcher dies, so there is nothing to set
		return nil
	case flag == "--share-net":
		return netFlag(p, "host", at)
	case flag == "--unshare-net":
		return netFlag(p, "none", at)
	}
	for _, w := range otherWords {
		if flag != w.flag && (flag != "--unshare-all" || !strings.HasPrefix(w.flag, "--unshare-")) {
			continue
		}
		if f := setKey(p, w.key, w.value, at); f != nil {
			return f
		}
	}
	if flag == "--unshare-all" {
		return netFlag(p, "none", at)
	}
	return nil
}

// setenvFlag reads NAME=VALUE. In other tools the value is the next word of the command line, but cordon would take
// that word for the command.
func setenvFlag(p *Profile, v string, at Pos) *fault {
	if !strings.Contains(v, "=") {
		return bad(Quote(v)+" has no value", "--env "+v+"=VALUE, in one word")
	}
	return envFlag(p, v, at)
}

// initFlag sets process.init.
func initFlag(p *Profile, v string, at Pos) *fault {
	if !slices.Contains(initWords, v) {
		return bad(Quote(v)+" is not known here", "there is always an init; --init none makes the program itself pid 1")
	}
	return setKey(p, "process.init", v, at)
}

// tmpfsOptions reads SIZE, or options of mount(8), separated by commas. The mount never has devices or set-id programs.
func (m *Mount) tmpfsOptions(text string) *fault {
	sized := spec{min: minMemory}
	if text == "" || text[0] >= '0' && text[0] <= '9' {
		return into(&m.Size, typedSize(text), sized.size)
	}
	for o := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(o, "=")
		switch name {
		case "rw", "nosuid", "nodev", "exec":
		case "size", "tmpfs-size":
			if f := into(&m.Size, typedSize(value), sized.size); f != nil {
				return f
			}
		case "mode", "tmpfs-mode":
			if f := some(&m.Perm, value, parsePerm); f != nil {
				return f
			}
		default:
			return bad(Quote(o)+" is no option of a tmpfs here", "size=SIZE and mode=MODE are; --mount '{tmpfs: "+m.Target+", …}' says all else")
		}
	}
	return nil
}

// typedMount reads a mount as docker(1) writes it: type=bind,source=PATH,target=PATH,readonly. As in docker, a bind is
// writable unless an option says otherwise.
func typedMount(p *Profile, v string, at Pos) *fault {
	m := Mount{Kind: MountBind, Write: true, Pos: at}
	var options []string
	for part := range strings.SplitSeq(v, ",") {
		name, value, _ := strings.Cut(part, "=")
		var f *fault
		switch name {
		case "type":
			f = m.typedKind(value)
		case "source", "src":
			f = setPath(&m.Source, fromCommandLine(value))
		case "target", "destination", "dst":
			f = setPath(&m.Target, fromCommandLine(value))
		case "readonly", "ro":
			m.Write = value == "false" || value == "0"
		case "tmpfs-size", "tmpfs-mode", "size", "mode":
			options = append(options, part)
		case "bind-propagation", "consistency", "relabel", "rw":
		default:
			f = bad(Quote(part)+" is not known here", "--mount '{bind: SOURCE, target: TARGET, mode: rw}' is the form of a profile")
		}
		if f != nil {
			return f
		}
	}
	if m.Kind == MountTmpfs {
		m.Write = false
		if len(options) > 0 {
			if f := m.tmpfsOptions(strings.Join(options, ",")); f != nil {
				return f
			}
		}
	}
	return p.addMount(m)
}

// typedKind reads the type of a mount in the spelling of docker(1).
func (m *Mount) typedKind(kind string) *fault {
	switch kind {
	case "bind":
		m.Kind = MountBind
	case "tmpfs":
		m.Kind = MountTmpfs
	case "volume":
		return bad("there are no named volumes", "type=bind,source=PATH,target=PATH")
	default:
		return bad(Quote(kind)+" is no type of a mount here", "type=bind and type=tmpfs are")
	}
	return nil
}
