package walk

// This file remembers what walks have found in directories, so that a later walk lists only directories that have
// changed since. With a wrong memory, a walk could miss a secret, and the sandbox would show it to a task. Therefore:
//
//   - A directory is identified by its device, its inode number, its mtime and its ctime. If a name is added, removed
//     or changed, the kernel sets both times to the present. Anybody can set mtime back, but no call can set ctime to a
//     time other than the present.
//   - The times are read before and after the directory is listed. A directory that has changed in between, or in the
//     two seconds before, is not remembered. The clock for files ticks every 1 to 10 ms, and a second change in the
//     same tick leaves no trace.
//   - Only directories of file systems whose numbers and times come from this kernel are remembered: see numbered. A
//     server, or a program that implements a file system, could return any times.
//   - If somebody sets the clock back, the same times come again. So a memory is dropped if the difference between the
//     clock and the time since the boot has changed, and after a boot.

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// MaxMemory is the size in bytes above which a memory is not stored.
const MaxMemory = 16 << 20

const (
	memoryFormat = "cordon directories 1\n"
	recordSize   = 4*8 + 3*4       // a stamp; the number of names; offset and length of the kept names
	settled      = 2 * time.Second // a directory is remembered only if its last change is longer ago
	clockSlack   = time.Second     // less than settled, so no settled time can come again
	fewest       = 256             // a memory with fewer directories is not stored
)

// stamp identifies a directory and its content. Times are in nanoseconds.
type stamp struct {
	dev, ino     uint64
	mtime, ctime int64
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{uint64(st.Dev), st.Ino, st.Mtim.Nano(), st.Ctim.Nano()} //nolint:unconvert // their widths differ by architecture
}

func (s *stamp) compare(o *stamp) int {
	if s.ino != o.ino { // decides nearly always, so the comparison is fast
		return cmp.Compare(s.ino, o.ino)
	}
	return cmp.Or(cmp.Compare(s.dev, o.dev), cmp.Compare(s.ctime, o.ctime), cmp.Compare(s.mtime, o.mtime))
}

// settledAt reports whether, at the time now, the last change of the directory is long enough ago. If the change is in
// the future, it is not.
func (s *stamp) settledAt(now int64) bool { return max(s.mtime, s.ctime) < now-int64(settled) }

// listed is the record of a directory in a memory.
type listed struct {
	stamp
	names int    // how many names the directory has
	kept  []byte // the names that matter: for each its type, its length and its bytes
	deep  bool   // one of the names is that of a directory
	live  bool   // a walk of this process has seen the directory
}

// Memory remembers what walks have found in directories. Its maker sets the first two fields. Only one walk at a time
// may use it.
type Memory struct {
	// Load returns an earlier result of Stored for the same Keep, or nil. It is called once, if a walk takes long.
	Load func() []byte
	// Keep reports whether a name that is not that of a directory can matter. The walk does not show other names of a
	// remembered directory to its visitor. Several threads call Keep.
	Keep func(name []byte, kind uint8) bool

	clock  bootClock
	loaded bool
	old    []listed // sorted by stamp
	mu     sync.Mutex
	seen   []listed // what the last walk has listed
	fresh  bool     // old contains records that have not been stored
}

// begin loads the memory, and reports whether there can be one.
func (m *Memory) begin() bool {
	if m == nil || m.Keep == nil {
		return false
	}
	if !m.loaded {
		m.loaded, m.clock = true, readClock()
		if m.Load != nil && m.clock.boot != "" {
			m.old = decodeMemory(m.Load(), m.clock)
		}
	}
	m.merge()
	return m.clock.boot != ""
}

// merge adds the records of the last walk to those that the next walk can use.
func (m *Memory) merge() {
	if len(m.seen) == 0 {
		return
	}
	m.old = append(m.seen, m.old...)
	slices.SortStableFunc(m.old, func(a, b listed) int { return a.compare(&b.stamp) })
	m.old = slices.CompactFunc(m.old, func(a, b listed) bool { return a.stamp == b.stamp })
	m.seen, m.fresh = nil, true
}

// find returns the index of a directory, or -1.
func (m *Memory) find(s *stamp) int {
	low, high := 0, len(m.old)
	for low < high {
		if mid := (low + high) / 2; m.old[mid].ino < s.ino {
			low = mid + 1
		} else {
			high = mid
		}
	}
	for ; low < len(m.old) && m.old[low].ino == s.ino; low++ {
		if m.old[low].stamp == *s {
			return low
		}
	}
	return -1
}

// add takes over the records of one thread, and the indices of the directories that the thread knew.
func (m *Memory) add(seen []listed, hits []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range seen {
		seen[i].live = true
	}
	m.seen = append(m.seen, seen...)
	for _, i := range hits {
		m.old[i].live = true
	}
}

// Stored returns the memory in its stored form, without directories that no walk of this process has seen. It returns
// nil if nothing is new, or if the memory is too small or too large to store.
func (m *Memory) Stored() []byte {
	if m == nil || !m.loaded || !m.clock.same(readClock()) {
		return nil
	}
	m.merge()
	m.old = slices.DeleteFunc(m.old, func(l listed) bool { return !l.live })
	size := len(memoryFormat) + 64 + recordSize*len(m.old)
	for i := range m.old {
		size += len(m.old[i].kept)
	}
	if !m.fresh || len(m.old) < fewest || size > MaxMemory {
		return nil
	}
	return encodeMemory(make([]byte, 0, size), m.old, m.clock)
}

// encodeMemory appends the stored form: a line, the checksum of everything that follows, the clock, the number of
// records, the records, the names.
func encodeMemory(b []byte, list []listed, c bootClock) []byte {
	order := binary.LittleEndian
	b = append(b, memoryFormat...)
	sum := len(b)
	b = append(order.AppendUint64(b, 0), byte(len(c.boot)))
	b = append(b, c.boot...)
	b = order.AppendUint32(order.AppendUint64(b, uint64(c.distance)), uint32(len(list)))
	at := 0
	for i := range list {
		l := &list[i]
		for _, n := range [...]uint64{l.dev, l.ino, uint64(l.ctime), uint64(l.mtime)} {
			b = order.AppendUint64(b, n)
		}
		b = order.AppendUint32(order.AppendUint32(order.AppendUint32(b, uint32(l.names)), uint32(at)), uint32(len(l.kept)))
		at += len(l.kept)
	}
	for i := range list {
		b = append(b, list[i].kept...)
	}
	order.PutUint64(b[sum:], checksum(b[sum+8:]))
	return b
}

// decodeMemory returns the records of a stored memory. It returns nil if anything is wrong with the memory, if it comes
// from another boot, or if somebody has set the clock.
func decodeMemory(b []byte, now bootClock) []listed {
	order := binary.LittleEndian
	b, ok := bytes.CutPrefix(b, []byte(memoryFormat))
	if !ok || len(b) < 9 || len(b) > MaxMemory || order.Uint64(b) != checksum(b[8:]) {
		return nil
	}
	boot := int(b[8])
	if b = b[9:]; len(b) < boot+12 {
		return nil
	}
	then := bootClock{string(b[:boot]), int64(order.Uint64(b[boot:]))}
	n := int(order.Uint32(b[boot+8:]))
	if b = b[boot+12:]; len(b)/recordSize < n || !then.same(now) {
		return nil
	}
	list, names := make([]listed, n), b[n*recordSize:]
	for i := range list {
		r, l := b[i*recordSize:], &list[i]
		l.stamp = stamp{dev: order.Uint64(r), ino: order.Uint64(r[8:]), ctime: int64(order.Uint64(r[16:])), mtime: int64(order.Uint64(r[24:]))}
		from, size := uint64(order.Uint32(r[36:])), uint64(order.Uint32(r[40:]))
		if from+size > uint64(len(names)) || i > 0 && list[i-1].compare(&l.stamp) >= 0 {
			return nil
		}
		l.names, l.kept = int(order.Uint32(r[32:])), names[from:from+size]
		if l.deep, ok = hasDir(l.kept); !ok {
			return nil
		}
	}
	return list
}

// checksum detects a damaged text: any single change shows. It need not stop an attacker, because only the caller can
// write the file.
func checksum(b []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15
	h := uint64(len(b))
	for ; len(b) >= 8; b = b[8:] {
		h = bits.RotateLeft64((h^binary.LittleEndian.Uint64(b))*odd, 29)
	}
	for _, c := range b {
		h = bits.RotateLeft64((h^uint64(c))*odd, 29)
	}
	return h
}

// hasDir reports whether one of the kept names is that of a directory. ok is false if the bytes are not valid, or the
// names are not names of files.
func hasDir(kept []byte) (deep, ok bool) {
	for len(kept) > 0 {
		e, rest := nextKept(kept)
		if rest == nil || bytes.ContainsAny(e.Name, "/\x00") || string(e.Name) == "." || string(e.Name) == ".." {
			return false, false
		}
		deep, kept = deep || e.IsDir(), rest
	}
	return deep, true
}

// nextKept returns the first of the kept names, and the rest. The rest is nil if the bytes are not valid.
func nextKept(kept []byte) (e Entry, rest []byte) {
	if len(kept) < 2 || kept[1] == 0 || len(kept) < 2+int(kept[1]) {
		return e, nil
	}
	end := 2 + int(kept[1])
	return Entry{Type: kept[0], Name: kept[2:end]}, kept[end:len(kept):len(kept)]
}

// bootClock shows whether somebody has set the clock between two moments.
type bootClock struct {
	boot     string // boot_id of random(4); "" if it cannot be read
	distance int64  // the difference between the clock and the time since the boot, in nanoseconds
}

func (c bootClock) same(o bootClock) bool {
	apart := c.distance - o.distance
	return c.boot != "" && c.boot == o.boot && max(apart, -apart) < int64(clockSlack)
}

func readClock() bootClock {
	return bootClock{boot: bootID(), distance: clockNow(unix.CLOCK_REALTIME) - clockNow(unix.CLOCK_BOOTTIME)}
}

func clockNow(clock int32) int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(clock, &t) // this cannot fail
	return t.Nano()
}

func bootID() string {
	fd, err := unix.Open("/proc/sys/kernel/random/boot_id", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var b [64]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b[:n]))
}

// recall is one thread's access to a memory. Without a memory its methods do nothing.
type recall struct {
	m       *Memory
	devices map[uint64]bool // by device: whether its directories are remembered
	hits    []int           // indices in Memory.old
	seen    []listed

	before stamp  // the stamp of the directory before it is listed
	keeps  bool   // the directory that is being listed can be remembered
	kept   []byte // those of its names that matter
	deep   bool   // one of the names is that of a directory
}

// leaf returns the record of a directory that need not be opened, because it contains no directory.
func (r *recall) leaf(j *job) *listed {
	if r.m == nil || len(r.m.old) == 0 || j.above == nil {
		return nil
	}
	var st unix.Stat_t
	if unix.Fstatat(j.above.fd, lastName(j.Path), &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	s := stampOf(&st)
	if !r.devices[s.dev] {
		return nil
	}
	if l := r.find(&s); l != nil && !l.deep {
		return l
	}
	return nil
}

// known returns the record of an open directory. If there is none, it prepares to make one.
func (r *recall) known(fd int) *listed {
	r.keeps, r.kept, r.deep = false, nil, false
	if r.m == nil {
		return nil
	}
	s, ok := r.look(fd)
	if !ok {
		return nil
	}
	if l := r.find(&s); l != nil {
		return l
	}
	r.before, r.keeps = s, s.settledAt(time.Now().UnixNano())
	return nil
}

// look returns the stamp of an open directory. ok is false if directories of its file system are not remembered.
func (r *recall) look(fd int) (s stamp, ok bool) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return s, false
	}
	s = stampOf(&st)
	ok, asked := r.devices[s.dev]
	if !asked {
		ok = numbered(fd)
		r.devices[s.dev] = ok
	}
	return s, ok
}

func (r *recall) find(s *stamp) *listed {
	i := r.m.find(s)
	if i < 0 {
		return nil
	}
	r.hits = append(r.hits, i)
	return &r.m.old[i]
}

// unchanged drops the record of a directory that has changed while it was listed.
func (r *recall) unchanged(fd int) {
	if r.keeps {
		s, ok := r.look(fd)
		r.keeps = ok && s == r.before
	}
}

// note adds a name of the directory that is being listed to its record.
func (r *recall) note(e *Entry) {
	if !r.keeps || !e.IsDir() && !r.m.Keep(e.Name, e.Type) {
		return
	}
	r.deep = r.deep || e.IsDir()
	r.kept = append(append(r.kept, e.Type, byte(len(e.Name))), e.Name...)
}

// done keeps the record of the directory that has been listed.
func (r *recall) done(names int) {
	if r.keeps {
		r.seen = append(r.seen, listed{stamp: r.before, names: names, kept: r.kept, deep: r.deep})
	}
}

// end passes the thread's records to the memory.
func (r *recall) end() {
	if r.m != nil {
		r.m.add(r.seen, r.hits)
	}
}
