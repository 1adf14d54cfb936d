package plan

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"strconv"
	"strings"
)

// flag is the name of a bit, or of a set of bits.
type flag struct {
	v    uint64
	name string
}

// String formats the step as strace(1) prints the call. Registers and the launcher's files appear by name.
func (s Step) String() string {
	b := make([]byte, 0, 160)
	switch s.Call {
	case Fork:
		b = appendFlags(append(b, "clone(child_stack=NULL, flags="...), s.Args[0].Int, cloneFlags[:])
		b = append(b, "|SIGCHLD"...)
		if s.Args[2].Kind == Owner {
			b = append(b, ", parent_tid=owner"...)
		}
		if s.Args[3].Kind == Self {
			b = append(b, ", child_tid=self"...)
		}
		return string(append(b, ')'))
	case Respawn:
		return "clone(child_stack=NULL, flags=CLONE_PARENT|CLONE_PARENT_SETTID|SIGCHLD)"
	}
	b = append(append(b, s.Call.String()...), '(')
	for i, a := range s.Args[:s.N] {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = a.append(b)
	}
	return string(append(b, ')'))
}

// words holds the printed forms of arguments that have no value.
var words = [...]string{Null: "NULL", Argv: "argv", ArgvLen: "sizeof(argv)", Owner: "owner", Self: "self", RobustList: "{owner}", Nonce: "%nonce"}

func (a Arg) append(b []byte) []byte {
	if int(a.Kind) < len(words) && words[a.Kind] != "" {
		return append(b, words[a.Kind]...)
	}
	switch a.Kind {
	case AtFDCWD:
		return append(b, "AT_FDCWD"...)
	case Register:
		return append(b, a.Reg.String()...)
	case FD:
		return append(append(append(b, '{'), a.Data...), '}')
	case SendRights:
		b = appendQuoted(append(b, "{msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="...), a.Data)
		b = strconv.AppendInt(append(b, ", iov_len="...), int64(len(a.Data)), 10)
		b = append(b, "}], msg_iovlen=1, msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=["...)
		return append(strconv.AppendInt(b, int64(a.Int), 10), "]}], msg_controllen=24, msg_flags=0}"...)
	case KeptRights:
		b = appendQuoted(append(b, "{msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="...), string(rune(a.Int)))
		b = append(b, ", iov_len=1}], msg_iovlen=1, msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=["...)
		return append(append(b, a.Reg.String()...), "]}], msg_controllen=24, msg_flags=0}"...)
	case Out:
		return append(b, '"', '.', '.', '.', '"')
	case Rights:
		return append(b, "{msg_iovlen=1, msg_control=SCM_RIGHTS}"...)
	case Path, Text:
		return appendQuoted(b, a.Data)
	case Strings:
		return appendStrings(b, a.Data)
	case Fprog:
		b = strconv.AppendInt(append(b, "{len="...), int64(len(a.Data)/8), 10)
		return append(b, ", filter=...}"...)
	case PathBeneath:
		b = appendFlags(append(b, "{allowed_access="...), a.Int, accessFS[:])
		return append(append(append(b, ", parent_fd="...), a.Reg.String()...), '}')
	case Hex:
		return appendHex(b, a.Int)
	case Octal:
		return appendOctal(b, a.Int)
	case FileMode:
		kind := "S_IFREG|"
		if a.Int&0o170000 == 0o020000 {
			kind = "S_IFCHR|"
		}
		return appendOctal(append(b, kind...), a.Int&0o7777)
	case OpenMode:
		if a.Int&oAccess == 0 {
			b = append(b, "O_RDONLY|"...)
		}
	case Int:
		return strconv.AppendInt(b, int64(a.Int), 10)
	}
	if a.Kind.IsPointer() {
		return a.appendStruct(b)
	}
	return a.appendFlag(b)
}

func (a Arg) appendStruct(b []byte) []byte {
	word := func(i int) uint64 { return binary.LittleEndian.Uint64([]byte(a.Data[i:])) }
	half := func(i int) uint64 { return uint64(binary.LittleEndian.Uint32([]byte(a.Data[i:]))) }
	switch a.Kind {
	case OpenHow:
		b = appendFlags(append(b, "{flags="...), word(0), openFlags[:])
		b = appendFlags(append(b, ", resolve="...), word(16), resolveFlags[:])
	case MountAttr:
		b = appendFlags(append(b, "{attr_set="...), word(0), mountAttrs[:])
		b = appendFlags(append(b, ", attr_clr="...), word(8), mountAttrs[:])
		b = appendFlags(append(b, ", propagation="...), word(16), propagations[:])
		b = append(b, ", userns_fd=0"...)
	case CapHeader:
		return append(b, "{version=_LINUX_CAPABILITY_VERSION_3, pid=0}"...)
	case CapData:
		both := func(i int) uint64 { return half(i) | half(i+12)<<32 }
		b = appendCaps(append(b, "{effective="...), both(0))
		b = appendCaps(append(b, ", permitted="...), both(4))
		b = appendCaps(append(b, ", inheritable="...), both(8))
	case Rlimit64:
		b = appendRlim(append(b, "{rlim_cur="...), word(0))
		b = appendRlim(append(b, ", rlim_max="...), word(8))
	case Timespec:
		b = strconv.AppendUint(append(b, "{tv_sec="...), word(0), 10)
		b = strconv.AppendUint(append(b, ", tv_nsec="...), word(8), 10)
	case Ifreq:
		name, _, _ := strings.Cut(a.Data[:16], "\x00")
		b = appendQuoted(append(b, "{ifr_name="...), name)
		b = appendFlags(append(b, ", ifr_flags="...), half(16)&0xffff, linkFlags[:])
	case RulesetAttr:
		b = appendFlags(append(b, "{handled_access_fs="...), word(0), accessFS[:])
		if len(a.Data) > 8 {
			b = appendFlags(append(b, ", handled_access_net="...), word(8), accessNet[:])
		}
		if len(a.Data) > 16 {
			b = appendFlags(append(b, ", scoped="...), word(16), scopes[:])
		}
	case Netlink:
		b = append(b, '[')
		for i, text := range NetlinkText(a.Data) {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = append(append(append(b, '{'), text...), '}')
		}
		return append(b, ']')
	case Sockaddr:
		family := [...]string{2: "AF_INET", 10: "AF_INET6"}
		b = append(append(b, "{sa_family="...), family[a.Data[0]]...)
		b = strconv.AppendUint(append(b, ", port=htons("...), uint64(a.Data[2])<<8|uint64(a.Data[3]), 10)
		b = append(b, "), addr=any"...)
	case Sigset:
		return append(b, "[]"...)
	case IntPtr:
		return append(strconv.AppendUint(append(b, '['), half(0), 10), ']')
	}
	return append(b, '}')
}

func (a Arg) appendFlag(b []byte) []byte {
	if a.Kind == Capability && a.Int < uint64(len(capNames)) {
		return append(b, capNames[a.Int]...)
	}
	set, ok := flagSetOf(a.Kind)
	if !ok {
		return appendHex(b, a.Int)
	}
	if set.value {
		return appendValue(b, a.Int, set.flags)
	}
	return appendFlags(b, a.Int, set.flags)
}

// appendFlags writes v as names joined by |, followed by the remaining bits in hexadecimal.
func appendFlags(b []byte, v uint64, names []flag) []byte {
	if v == 0 {
		return append(b, '0')
	}
	start := len(b)
	for _, f := range names {
		if v&f.v == f.v && f.v != 0 {
			if len(b) > start {
				b = append(b, '|')
			}
			b = append(b, f.name...)
			v &^= f.v
		}
	}
	if v == 0 {
		return b
	}
	if len(b) > start {
		b = append(b, '|')
	}
	return appendHex(b, v)
}

func appendValue(b []byte, v uint64, names []flag) []byte {
	for _, f := range names {
		if f.v == v {
			return append(b, f.name...)
		}
	}
	return appendHex(b, v)
}

func appendHex(b []byte, v uint64) []byte { return strconv.AppendUint(append(b, "0x"...), v, 16) }

// appendOctal writes v in octal with a leading 0 and at least three digits, as strace does.
func appendOctal(b []byte, v uint64) []byte {
	if v < 0o100 {
		return append(b, '0', '0'+byte(v>>3), '0'+byte(v&7))
	}
	return strconv.AppendUint(append(b, '0'), v, 8)
}

func appendRlim(b []byte, v uint64) []byte {
	switch {
	case v == ^uint64(0):
		return append(b, "RLIM64_INFINITY"...)
	case v > 1024 && v%1024 == 0:
		return append(strconv.AppendUint(b, v/1024, 10), "*1024"...)
	}
	return strconv.AppendUint(b, v, 10)
}

func appendCaps(b []byte, v uint64) []byte {
	if v == 0 {
		return append(b, '0')
	}
	first := true
	for i, name := range capNames {
		if v>>i&1 == 0 {
			continue
		}
		if !first {
			b = append(b, '|')
		}
		b, first = append(append(b, "1<<"...), name...), false
		v &^= 1 << i
	}
	if v != 0 {
		b = appendHex(append(b, '|'), v)
	}
	return b
}

func appendStrings(b []byte, data string) []byte {
	b = append(b, '[')
	for i := 0; data != ""; i++ {
		s, rest, _ := strings.Cut(data, "\x00")
		if i > 0 {
			b = append(b, ", "...)
		}
		b, data = appendQuoted(b, s), rest
	}
	return append(b, ']')
}

// appendQuoted writes a quoted string, and escapes what a terminal would interpret, as strace does.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c < ' ' || c > '~':
			b = appendEscape(b, c, i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '7')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func appendEscape(b []byte, c byte, full bool) []byte {
	b = append(b, '\\')
	if full || c >= 0o100 {
		return append(b, '0'+c>>6, '0'+c>>3&7, '0'+c&7)
	}
	return strconv.AppendUint(b, uint64(c), 8)
}

func (f From) String() string {
	s := f.Section
	if s != "" && f.Index >= 0 {
		s += "[" + strconv.Itoa(f.Index) + "]"
	}
	switch {
	case f.Flag != "":
		return join(s, f.Flag)
	case f.File != "":
		return join(s, f.File+":"+strconv.Itoa(f.Line))
	}
	return s
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}

// Result returns the printed form of the step's result: " = %root", " or ENOENT", or nothing.
func (s Step) Result() string {
	r := ""
	if s.To != NoReg {
		r = " = " + s.To.String()
	}
	if s.Or != 0 {
		r += " or " + s.Or.String()
	}
	return r
}

// String returns the names of the one or two errors.
func (e Errno) String() string {
	text := appendValue(nil, uint64(e&0xff), errnos[:])
	if first := e >> 8; first != 0 {
		text = append(append(appendValue(nil, uint64(first), errnos[:]), " or "...), text...)
	}
	return string(text)
}

// WriteText prints the plan, one step per line, with the numbers that errors use.
func (p *Plan) WriteText(w io.Writer) error {
	var b strings.Builder
	b.WriteString("clone3({flags=" + string(appendFlags(nil, p.Clone, cloneFlags[:])) + ", exit_signal=SIGCHLD")
	if p.Clone&cloneIntoCgroup != 0 {
		b.WriteString(", cgroup={cgroup}")
	}
	b.WriteString("})\n")
	forked := false
	for i, s := range p.Steps {
		if s.Call == Fork {
			b.WriteString(line(i, s))
			b.WriteString("task:\n")
			forked = true
			continue
		}
		b.WriteString(line(i, s))
	}
	if forked {
		b.WriteString("init:\n")
		for i, s := range p.Init {
			b.WriteString(line(len(p.Steps)+i, s))
		}
		b.WriteString("     wait4 until the task is gone, then exit_group\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func line(i int, s Step) string {
	n := strconv.Itoa(i)
	text := strings.Repeat(" ", max(0, 4-len(n))) + n + " " + s.String() + s.Result()
	if f := s.From.String(); f != "" {
		text += strings.Repeat(" ", max(1, 100-len(text))) + "# " + f
	}
	return text + "\n"
}

// MarshalJSON encodes the step in its printed form.
func (s Step) MarshalJSON() ([]byte, error) {
	v := struct {
		Call string   `json:"call"`
		Args []string `json:"args"`
		To   string   `json:"to,omitempty"`
		Or   string   `json:"or,omitempty"`
		From string   `json:"from,omitempty"`
	}{Call: s.Call.String(), Args: []string{}, From: s.From.String()}
	for _, a := range s.Args[:s.N] {
		v.Args = append(v.Args, string(a.append(nil)))
	}
	if s.To != NoReg {
		v.To = s.To.String()
	}
	if s.Or != 0 {
		v.Or = s.Or.String()
	}
	return json.Marshal(v)
}

// MarshalJSON encodes the plan: {"clone": …, "steps": […], "init": […], "files": […]}.
func (p *Plan) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Clone string   `json:"clone"`
		Steps []Step   `json:"steps"`
		Init  []Step   `json:"init"`
		Files []string `json:"files"`
	}{string(appendFlags(nil, p.Clone, cloneFlags[:])), p.Steps, p.Init, p.Files})
}
