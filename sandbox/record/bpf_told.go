package record

// This file reads the records that the programs in the kernel send, and adds them to the recording.

import (
	"encoding/binary"
	"path"
	"slices"
	"strings"

	"cordon/policy/recording"
)

// told is one record from the ring buffer.
type told struct {
	kind, exe, nr, arg uint32
	ret                int64
	args               [6]uint64
	hash               [16]byte
	mode               uint32
	text               string
	names              []string // the components of a path, the last one first
}

func parseTold(rec []byte) (t told, ok bool) {
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if len(rec) < recordHead {
		return t, false
	}
	t = told{kind: u32(rec[recKind:]), exe: u32(rec[recExe:]), nr: u32(rec[recNr:]), arg: u32(rec[recArg:]), ret: int64(u64(rec[recRet:])), mode: u32(rec[recMode:])}
	for i := range t.args {
		t.args[i] = u64(rec[recArgs+8*i:])
	}
	copy(t.hash[:], rec[recHash:])
	size, walk, rest := int(u32(rec[recLen:])), int(u32(rec[recWalk:])), rec[recordHead:]
	text := size
	if t.kind == recordAddr { // the name of the protocol follows space for the longest address
		text = maxAddr
	}
	if size > text || text > len(rest) {
		return t, false
	}
	t.text, rest = string(rest[:size]), rest[text:]
	if walk > len(rest) {
		return t, false
	}
	if walk > 0 {
		t.names = strings.Split(strings.TrimSuffix(string(rest[:walk]), "\x00"), "\x00")
	}
	return t, true
}

// path returns the path that the names form.
func (t *told) path() string {
	var p strings.Builder
	for _, name := range slices.Backward(t.names) {
		if name != "/" {
			p.WriteString("/" + name)
		}
	}
	if p.Len() == 0 {
		return "/"
	}
	return p.String()
}

// record adds one record to the recording.
func (b *bpf) record(rec []byte) {
	t, ok := parseTold(rec)
	if !ok {
		b.lost["records"]++
		return
	}
	exe, known := b.exeOf[t.exe]
	if !known {
		exe = -1
		b.lost["executables"]++
	}
	switch t.kind {
	case recordExe:
		b.exeOf[t.arg] = b.executable(b.inspected(t.path()))
	case recordExec:
		b.executed(exe, strings.TrimSuffix(t.text, "\x00"), t.path())
	case recordMapped:
		b.tell(&t, fact{exe, recording.KindPath, t.path(), uint32(recording.Map) << 1},
			recording.Event{Path: t.path(), Access: recording.Map, Type: fileType(t.mode)})
	case recordAddr:
		b.addressed(&t, exe)
	case recordPath:
		b.pathed(&t, exe)
	case recordName:
		b.answered(exe, []byte(t.text))
	}
}

// tell adds the event of a record to the recording. It also stores the record's hash, by which readCounts finds how
// often the event happened.
func (b *bpf) tell(t *told, f fact, e recording.Event) {
	if b.events[f] == nil {
		b.add(f, e)
		if e.Kind = f.kind; e.Kind == recording.KindPath {
			b.through(b.root, f.exe, &e)
		}
	} else if old := b.events[f]; e.Errno == "" {
		old.Errno = ""
	}
	if len(b.hashes) < maxFacts {
		b.hashes[f] = append(b.hashes[f], t.hash)
	}
}

// inspected returns the information that a recording stores about an executable. If the file still exists, it reads the
// file for that.
func (b *bpf) inspected(name string) recording.Executable {
	x := recording.Executable{Path: name}
	if fd, err := openRegular(b.root, name); err == nil {
		id, loader, isELF := inspect(fd)
		x.BuildID, x.Static = id, isELF && loader == ""
	}
	return x
}

// executed records that a program has executed another.
func (b *bpf) executed(exe int, name, dir string) {
	asked := join(dir, name)
	found := resolve(b.root, asked, true)
	f := fact{exe, recording.KindPath, asked, uint32(recording.Execute) << 1}
	if b.again(f) {
		return
	}
	e := found.event(asked, recording.Execute)
	b.add(f, e)
	b.through(b.root, exe, &e)
	b.executes(exe, b.root, found.path, asked)
}

// addressed records a socket address that a call has used.
func (b *bpf) addressed(t *told, exe int) {
	c := b.calledAt(t.nr)
	if c == nil || c.addr == nil || len(t.text) < 2 {
		return
	}
	net, file := sockaddr([]byte(t.text))
	if file != "" {
		asked, want := join(b.workdir, file), recording.Connect
		if c.addr.what == "bind" {
			want = recording.Create
		}
		found := resolve(b.root, asked, want == recording.Connect)
		b.tell(t, fact{exe, recording.KindPath, asked, uint32(want) << 1}, found.event(asked, want))
		return
	}
	net.Op = c.addr.what
	if len(t.names) > 0 {
		net.Proto = strings.TrimSuffix(strings.ToLower(t.names[0]), "v6")
	}
	b.tell(t, fact{exe, recording.KindNet, net.Op + net.Proto + t.text, 0}, recording.Event{Net: net, Errno: errno(t.ret)})
}

// pathed records a path that a call has used.
func (b *bpf) pathed(t *told, exe int) {
	c := b.calledAt(t.nr)
	if c == nil || int(t.arg) >= len(c.paths) {
		return
	}
	p := &c.paths[t.arg]
	want := p.want
	if i := openFlags(p.call); i != noFD {
		want = opens(t.args[i])
	} else if p.call == "openat2" {
		want = opens(t.args[recording.Pointer(p.call)]) // the programs have replaced the pointer by the flags
	}
	name := strings.TrimSuffix(t.text, "\x00")
	f := fact{exe: exe, kind: recording.KindPath, bits: uint32(want) << 1}
	if t.mode != 0 && !strings.HasPrefix(name, "/proc/") { // the record names the open file itself
		f.text = t.path()
		e := recording.Event{Path: f.text, Access: want, Type: fileType(t.mode)}
		if strings.HasPrefix(name, "/") && join("", name) != f.text {
			e.Via = path.Clean(name)
		}
		b.tell(t, f, e)
		return
	}
	f.text = name // a path such as /proc/self stays, because it means another file in each process
	if t.mode == 0 {
		f.text = join(t.path(), name)
	}
	found := found{path: f.text, exists: true}
	if p.follows(&t.args) {
		f.bits |= 1
	}
	if !plain(name, f.bits&1 != 0) {
		found = resolve(b.root, f.text, f.bits&1 != 0)
	}
	e := found.event(f.text, want)
	e.Errno = errno(t.ret)
	b.tell(t, f, e)
}
