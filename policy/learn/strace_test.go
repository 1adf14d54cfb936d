package learn

import (
	"bufio"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cordon/policy/filter"
	"cordon/policy/recording"
)

// fromStrace makes a recording from the output of strace -f -y. It resolves links as they are on this machine. It knows
// the calls that name files, sockets, and the arguments that recorders keep.
func fromStrace(t *testing.T, out string, command []string, home, workdir string) *recording.Recording {
	t.Helper()
	r := &recording.Recording{Header: recording.Header{Arch: "amd64", Runs: []recording.Run{{
		Backend: "strace", Complete: true, Kernel: "6.18", Started: time.Unix(1.8e9, 0), Command: command, Home: home, Workdir: workdir,
	}}}}
	c := &converter{t: t, r: r, exe: r.Executable(recording.Executable{Path: command[0]}), cwd: map[string]string{}, workdir: workdir}
	in := bufio.NewScanner(strings.NewReader(out))
	in.Buffer(nil, 1<<20)
	pending := map[string]string{}
	first := true
	for in.Scan() {
		pid, line := "", in.Text()
		if m := pidPrefix.FindStringSubmatch(line); m != nil {
			pid, line = m[1], m[2]
		}
		if before, ok := strings.CutSuffix(line, " <unfinished ...>"); ok {
			pending[pid] = before
			continue
		}
		if m := resumed.FindStringSubmatch(line); m != nil {
			line = pending[pid] + m[1]
		}
		m := callLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if first { // the launcher makes the first execve
			first = false
			c.exec(splitArgs(m[2]))
			continue
		}
		c.call(pid, m[1], splitArgs(m[2]), m[3])
	}
	return r
}

var (
	pidPrefix = regexp.MustCompile(`^(?:\[pid +)?(\d+)\]? +(.*)$`)
	resumed   = regexp.MustCompile(`^<\.\.\. \w+ resumed>(.*)$`)
	callLine  = regexp.MustCompile(`^(\w+)\((.*)\) += (.*)$`)
	inAngles  = regexp.MustCompile(`<([^<>]*)>`)
)

type converter struct {
	t       *testing.T
	r       *recording.Recording
	exe     int
	cwd     map[string]string
	workdir string
}

func (c *converter) add(e recording.Event) {
	e.Exe, e.Count = c.exe, 1
	if err := c.r.Add(&e); err != nil {
		c.t.Fatalf("%+v: %v", e, err)
	}
}

// splitArgs splits the text between the parentheses of a line of strace at the commas that separate arguments.
func splitArgs(s string) (args []string) {
	depth, from, quoted := 0, 0, false
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case quoted && ch == '\\':
			i++
		case ch == '"':
			quoted = !quoted
		case quoted:
		case strings.IndexByte("({[<", ch) >= 0:
			depth++
		case strings.IndexByte(")}]", ch) >= 0 || ch == '>' && s[max(0, i-1)] != '-' && s[max(0, i-1)] != '=':
			depth--
		case ch == ',' && depth == 0:
			args = append(args, strings.TrimSpace(s[from:i]))
			from = i + 1
		}
	}
	return append(args, strings.TrimSpace(s[from:]))
}

func errnoOf(result string) string {
	if m := regexp.MustCompile(`^-1 (E\w+)`).FindStringSubmatch(result); m != nil {
		return m[1]
	}
	return ""
}

func unquote(s string) (string, bool) {
	s = strings.TrimSuffix(s, "...")
	if !strings.HasPrefix(s, `"`) {
		return "", false
	}
	out, err := strconv.Unquote(s)
	return out, err == nil
}

// absolute returns the absolute path for a name in a call's arguments. dirfd is the call's first argument, the
// directory.
func (c *converter) absolute(pid, dirfd, name string) (string, bool) {
	text, ok := unquote(name)
	if !ok {
		return "", false
	}
	if strings.HasPrefix(text, "/") {
		return path.Clean(text), true
	}
	dir := c.cwd[pid]
	if dir == "" {
		dir = c.workdir
	}
	if m := inAngles.FindStringSubmatch(dirfd); m != nil {
		dir = m[1]
	}
	if text == "" && dirfd == "" || !strings.HasPrefix(dir, "/") {
		return "", false // the descriptor is missing, or of a pipe
	}
	return path.Clean(dir + "/" + text), true
}

// path records an access to a name. It resolves links as they are on this machine.
func (c *converter) path(name string, access recording.Access, errno string, follow bool) {
	e := recording.Event{Kind: recording.KindPath, Path: name, Access: access, Errno: errno}
	dir, base := path.Split(name)
	real, err := filepath.EvalSymlinks(dir)
	if follow && err == nil {
		if full, err := filepath.EvalSymlinks(name); err == nil {
			real, base = path.Split(full)
		}
	}
	if err == nil {
		e.Path = path.Clean(real + "/" + base)
	}
	if e.Path != name {
		e.Via = name
	}
	e.Type = typeOf(e.Path)
	c.add(e)
}

func (c *converter) exec(args []string) {
	if name, ok := c.absolute("", "", args[0]); ok {
		c.path(name, recording.Execute|recording.Read, "", true)
		c.interpreters(name)
	}
}

// word parses a constant or flags as strace writes them.
func word(arch filter.Arch, s string) (v uint64, ok bool) {
	s, _, _ = strings.Cut(s, " /*")
	for part := range strings.SplitSeq(s, "|") {
		n, err := strconv.ParseUint(part, 0, 64)
		if err != nil {
			bits, _, known := filter.Constant(part, arch)
			if !known {
				return 0, false
			}
			n = bits
		}
		v |= n
	}
	return v, true
}

// names says which arguments of a call name files, and how the call uses these files.
var names = map[string][]struct {
	dirfd, name int // -1 if there is none
	access      recording.Access
	follow      bool
}{
	"stat": {{-1, 0, recording.Stat, true}}, "lstat": {{-1, 0, recording.Stat, false}}, "access": {{-1, 0, recording.Stat, true}},
	"newfstatat": {{0, 1, recording.Stat, true}}, "statx": {{0, 1, recording.Stat, true}}, "faccessat": {{0, 1, recording.Stat, true}}, "faccessat2": {{0, 1, recording.Stat, true}},
	"readlink": {{-1, 0, recording.Read, false}}, "readlinkat": {{0, 1, recording.Read, false}}, "statfs": {{-1, 0, recording.Stat, true}},
	"mkdir": {{-1, 0, recording.Create, false}}, "mkdirat": {{0, 1, recording.Create, false}}, "rmdir": {{-1, 0, recording.Delete, false}},
	"unlink": {{-1, 0, recording.Delete, false}}, "unlinkat": {{0, 1, recording.Delete, false}},
	"rename": {{-1, 0, recording.Rename, false}, {-1, 1, recording.Create | recording.Rename, false}}, "renameat2": {{0, 1, recording.Rename, false}, {2, 3, recording.Create | recording.Rename, false}},
	"chmod": {{-1, 0, recording.Attr, true}}, "fchmodat": {{0, 1, recording.Attr, true}}, "utimensat": {{0, 1, recording.Attr, true}},
	"symlink": {{-1, 1, recording.Create, false}}, "symlinkat": {{1, 2, recording.Create, false}}, "link": {{-1, 1, recording.Create, false}},
	"chdir": {{-1, 0, recording.Chdir, true}}, "execve": {{-1, 0, recording.Execute | recording.Read, true}},
}

func (c *converter) call(pid, name string, args []string, result string) {
	errno := errnoOf(result)
	e := recording.Event{Kind: recording.KindCall, Call: name, Errno: errno}
	for _, g := range recording.Gates(name) {
		if g.Reg < 0 || g.Reg >= len(args) {
			continue
		}
		text := args[g.Reg]
		text = strings.TrimPrefix(text, "flags=")
		if name == "clone" {
			for _, a := range args {
				if f, ok := strings.CutPrefix(a, "flags="); ok {
					text = f
				}
			}
			text = strings.TrimSuffix(strings.TrimSuffix(text, "SIGCHLD"), "|")
			if text == "" {
				text = "0"
			}
		}
		if v, ok := word(filter.AMD64, text); ok {
			e.Args = append(e.Args, recording.Arg{Name: g.Arg, Value: v & g.Mask})
		}
	}
	if filter.Known(name) {
		c.add(e)
	}
	c.files(pid, name, args, result, errno)
	switch name {
	case "connect", "bind":
		c.net(name, args, errno)
	case "chdir":
		if to, ok := c.absolute(pid, "", args[0]); ok && errno == "" {
			c.cwd[pid] = to
		}
	case "getdents64":
		if m := inAngles.FindStringSubmatch(args[0]); m != nil && errno == "" {
			c.path(path.Clean(m[1]), recording.List, "", false)
		}
	case "mmap":
		if m := inAngles.FindStringSubmatch(args[4]); m != nil && strings.Contains(args[2], "PROT_EXEC") {
			c.path(path.Clean(m[1]), recording.Map, "", false)
		}
	case "execve":
		if to, ok := c.absolute(pid, "", args[0]); ok && errno == "" {
			c.interpreters(to)
		}
	}
}

func (c *converter) files(pid, name string, args []string, result, errno string) {
	if name == "open" || name == "openat" || name == "creat" {
		c.open(pid, name, args, result, errno)
		return
	}
	for _, n := range names[name] {
		dirfd := ""
		if n.dirfd >= 0 {
			dirfd = args[n.dirfd]
		}
		if full, ok := c.absolute(pid, dirfd, args[n.name]); ok && (args[n.name] != `""` || n.dirfd >= 0) {
			c.path(full, n.access, errno, n.follow && !slices.Contains(args, "AT_SYMLINK_NOFOLLOW"))
		}
	}
}

func (c *converter) open(pid, name string, args []string, result, errno string) {
	i, dirfd := 0, ""
	if name == "openat" {
		i, dirfd = 1, args[0]
	}
	full, ok := c.absolute(pid, dirfd, args[i])
	if !ok {
		return
	}
	flags, access := "O_WRONLY|O_CREAT|O_TRUNC", recording.Access(0)
	if name != "creat" {
		flags = args[i+1]
	}
	switch {
	case strings.Contains(flags, "O_WRONLY"):
		access = recording.Write
	case strings.Contains(flags, "O_RDWR"):
		access = recording.Read | recording.Write
	default:
		access = recording.Read
	}
	if strings.Contains(flags, "O_TRUNC") {
		access |= recording.Truncate
	}
	if strings.Contains(flags, "O_CREAT") && access&recording.Write != 0 && (strings.Contains(flags, "O_EXCL") || !known[full]) {
		access |= recording.Create
	}
	c.path(full, access, errno, true)
}

var unixName = regexp.MustCompile(`sun_path=(@?)"([^"]*)"`)
var inetAddr = regexp.MustCompile(`sin6?_port=htons\((\d+)\).*(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")`)

func (c *converter) net(op string, args []string, errno string) {
	if m := unixName.FindStringSubmatch(args[1]); m != nil {
		if m[1] == "" && strings.HasPrefix(m[2], "/") {
			access := recording.Connect
			if op == "bind" {
				access = recording.Create
			}
			c.path(path.Clean(m[2]), access, errno, false)
		}
		return
	}
	if m := inetAddr.FindStringSubmatch(args[1]); m != nil {
		port, _ := strconv.ParseUint(m[1], 10, 16)
		n := recording.Net{Op: op, Family: "inet", Proto: "tcp", Addr: m[2], Port: uint16(port)}
		if m[3] != "" {
			n.Family, n.Addr = "inet6", m[3]
		}
		c.add(recording.Event{Kind: recording.KindNet, Net: n, Errno: errno})
	}
}
