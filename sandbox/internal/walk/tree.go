package walk

// This file walks through whole trees. getdents64(2) returns the type of each entry, so the walk looks at no file. It
// opens each directory by the descriptor of its parent, and never through a link. So if somebody moves a directory
// during the walk, or replaces it by a link, the walk cannot leave the tree.

import (
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Tree is a walk through directories and everything below them.
type Tree struct {
	// Two lets a walk of more than a few directories use two threads. The threads of a program can differ in user, root
	// and mount namespace, so a caller may set it only if it knows that they do not.
	Two   bool
	Roots []Place // paths of directories, absolute and without links
	// New makes a Visitor. Run calls it once for each thread, before the thread visits anything; the calls do not
	// overlap. One thread visits all entries of a directory.
	New func() Visitor
	// Step, unless nil, is called on the goroutine of Run, at least every 50 ms while there is work. names is the
	// number of names so far. If Step returns an error, the walk ends with that error.
	Step func(names int) error
	// Inodes says that the visitor needs Entry.Inode.
	Inodes bool
	Max    int // if there are more names, the walk ends with ErrTooMany; 0 for no bound
	// Memory, unless nil, saves the listing of directories that have not changed. For these, Visit sees only
	// directories and the names that Memory.Keep wants. A walk with Inodes does not use it.
	Memory *Memory
	// Every, unless nil, reports whether the visitor must see every name in a directory with this State. Several
	// threads call Every.
	Every func(state any) bool

	Names int // set by Run: the number of names in the directories that were visited
}

// ErrTooMany ends a walk that has seen more than Tree.Max names.
var ErrTooMany = errors.New("too many names")

// Place is a directory of a walk.
type Place struct {
	Path  string
	State any // the state that Visit has returned for the directory
}

// Entry is a name in a directory. It is valid only until Visit returns.
type Entry struct {
	Name  []byte
	Inode uint64 // with Tree.Inodes: the number that stat(2) shows; 0 if the directory may show another
	Type  uint8  // a type such as unix.DT_REG, never unix.DT_UNKNOWN
}

// IsDir reports whether the entry is a directory.
func (e *Entry) IsDir() bool { return e.Type == unix.DT_DIR }

// IsLink reports whether the entry is a symbolic link.
func (e *Entry) IsLink() bool { return e.Type == unix.DT_LNK }

// IsSocket reports whether the entry is a socket.
func (e *Entry) IsSocket() bool { return e.Type == unix.DT_SOCK }

// Visitor is told what a walk finds.
type Visitor interface {
	// Visit handles one entry. If the entry is a directory, into says whether the walk continues below it, and state
	// becomes the State of that directory.
	Visit(in *Place, e *Entry) (into bool, state any)
	// Leave is called after the last entry of a directory.
	Leave(in *Place)
	// Refused is called for a directory that cannot be read. Visit has not seen any of its entries. The error is ELOOP
	// or ENOTDIR if somebody has put another file in its place.
	Refused(dir Place, err error)
}

const (
	openTree   = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	heldDepth  = 100      // how many nested directories keep their descriptors open
	alone      = 64       // after this many directories a second thread helps
	firstRead  = 32 << 10 // bytes
	stepEvery  = 32       // the number of directories between two calls
	waitMost   = 50 * time.Millisecond
	direntName = 19 // offset of the name in struct linux_dirent64: getdents(2)
)

// held is an open directory. The child that is opened last closes it.
type held struct {
	fd   int
	left atomic.Int32
}

func (h *held) leave() {
	if h != nil && h.left.Add(-1) == 0 {
		unix.Close(h.fd)
	}
}

// job is a directory that still has to be read. If above is nil, the directory is opened by its path.
type job struct {
	Place
	above *held
	depth int
}

// pool is what the threads of a walk share.
type pool struct {
	t     *Tree
	mu    sync.Mutex
	jobs  []job // jobs that a busy thread has given away
	busy  int   // how many threads are working
	more  chan struct{}
	idle  atomic.Int32 // how many threads are waiting for jobs
	names atomic.Int64
	ended atomic.Bool
	err   error // why the walk ended early
}

// Run executes the walk. It returns the error of Step, ErrTooMany or nil. Unreadable directories go to the Visitor.
func (t *Tree) Run() error {
	p := &pool{t: t, busy: 1, more: make(chan struct{}, 2)}
	w := &worker{pool: p, visitor: t.New(), first: true, buf: make([]byte, firstRead)}
	for i := len(t.Roots) - 1; i >= 0; i-- {
		w.jobs = append(w.jobs, job{Place: t.Roots[i]})
	}
	w.run()
	w.others.Wait()
	t.Names = int(p.names.Load())
	return p.err
}

// worker is one thread of a walk.
type worker struct {
	*pool
	visitor Visitor
	first   bool // this is the goroutine that has called Run
	jobs    []job
	buf     []byte
	dirs    int
	recall  recall
	others  sync.WaitGroup
}

func (w *worker) run() {
	defer w.recall.end()
	for w.next() {
		j := w.jobs[len(w.jobs)-1]
		w.jobs = w.jobs[:len(w.jobs)-1]
		if w.ended.Load() {
			j.above.leave()
			continue
		}
		w.read(&j)
		w.dirs++
		if w.first && w.dirs%stepEvery == 0 {
			w.step()
		}
		if w.first && w.dirs == alone {
			w.remember()
		}
		w.share()
	}
}

// remember begins to use the memory.
func (w *worker) remember() {
	if !w.t.Inodes && w.t.Memory.begin() {
		w.recall = recall{m: w.t.Memory, devices: map[uint64]bool{}}
	}
}

// step asks the caller whether the walk should continue.
func (w *worker) step() {
	if w.t.Step == nil || w.ended.Load() {
		return
	}
	if err := w.t.Step(int(w.names.Load())); err != nil {
		w.end(err)
	}
}

// end ends the walk. Every thread then drops its jobs.
func (p *pool) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	p.ended.Store(true)
}

// share gives half of the jobs to a waiting thread, or starts that thread. It gives away the oldest jobs. They are
// nearest to the root, and therefore the largest.
func (w *worker) share() {
	if len(w.jobs) < 2 {
		return
	}
	if w.first && w.dirs == alone && w.t.Two && runtime.GOMAXPROCS(0) > 1 {
		w.mu.Lock()
		w.busy++
		w.mu.Unlock()
		helper := &worker{pool: w.pool, visitor: w.t.New(), buf: make([]byte, firstRead)}
		if w.recall.m != nil {
			helper.recall = recall{m: w.recall.m, devices: map[uint64]bool{}}
		}
		w.others.Go(helper.run)
		return
	}
	if w.idle.Load() == 0 {
		return
	}
	half := len(w.jobs) / 2
	w.mu.Lock()
	w.pool.jobs = append(w.pool.jobs, w.jobs[:half]...)
	w.mu.Unlock()
	w.jobs = append(w.jobs[:0], w.jobs[half:]...)
	w.wake()
}

// wake lets waiting threads look for jobs again.
func (p *pool) wake() {
	for range cap(p.more) {
		select {
		case p.more <- struct{}{}:
		default:
		}
	}
}

// next reports whether the thread has a job. It waits as long as another thread may give a job away.
func (w *worker) next() bool {
	if len(w.jobs) > 0 {
		return true
	}
	w.mu.Lock()
	w.busy--
	w.idle.Add(1)
	for len(w.pool.jobs) == 0 && w.busy > 0 {
		w.mu.Unlock()
		select {
		case <-w.more:
		case <-time.After(waitMost):
		}
		if w.first {
			w.step()
		}
		w.mu.Lock()
	}
	w.idle.Add(-1)
	w.busy++
	w.jobs, w.pool.jobs = append(w.jobs, w.pool.jobs...), w.pool.jobs[:0]
	if len(w.jobs) == 0 {
		w.busy--
		w.wake()
	}
	w.mu.Unlock()
	return len(w.jobs) > 0
}

// read first reads the whole directory, and then shows its entries to the visitor. So if reading fails, and the visitor
// tries another way, it sees no entry twice.
func (w *worker) read(j *job) {
	every := w.t.Every != nil && w.t.Every(j.State)
	if !every {
		if l := w.recall.leaf(j); l != nil {
			j.above.leave()
			w.showKept(j, l)
			w.visitor.Leave(&j.Place)
			return
		}
	}
	fd, err := w.open(j)
	j.above.leave()
	if err != nil {
		w.visitor.Refused(j.Place, err)
		return
	}
	from := len(w.jobs)
	if l := w.recall.known(fd); l != nil && !every {
		w.showKept(j, l)
	} else if err := w.list(fd, j); err != nil {
		unix.Close(fd)
		w.visitor.Refused(j.Place, err)
		return
	}
	children := w.jobs[from:]
	w.visitor.Leave(&j.Place)
	if len(children) == 0 || j.depth >= heldDepth {
		unix.Close(fd)
		return
	}
	dir := &held{fd: fd}
	dir.left.Store(int32(len(children)))
	for i := range children {
		children[i].above = dir
	}
}

// list lists an open directory, and shows its entries to the visitor.
func (w *worker) list(fd int, j *job) error {
	n, err := w.fill(fd)
	if err != nil {
		return err
	}
	w.recall.unchanged(fd)
	w.show(fd, j, w.buf[:n])
	return nil
}

func (w *worker) open(j *job) (fd int, err error) {
	for {
		if j.above == nil {
			fd, err = NoLinks(j.Path, openTree)
		} else {
			fd, err = unix.Openat(j.above.fd, lastName(j.Path), openTree, 0)
		}
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// lastName returns the last name of an absolute path.
func lastName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// fill reads a directory into the buffer, which grows as needed.
func (w *worker) fill(fd int) (n int, err error) {
	for {
		if len(w.buf)-n < firstRead/2 {
			w.buf = append(w.buf, make([]byte, len(w.buf))...)
		}
		got, err := unix.Getdents(fd, w.buf[n:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case got == 0:
			return n, nil
		default:
			n += got
		}
	}
}

// show shows the entries of a directory, and makes a job of each directory that the visitor enters.
func (w *worker) show(fd int, j *job, b []byte) {
	names, known := 0, w.t.Inodes && numbered(fd)
	for len(b) >= direntName {
		size := int(binary.NativeEndian.Uint16(b[16:]))
		if size < direntName || size > len(b) {
			break
		}
		e := Entry{Inode: binary.NativeEndian.Uint64(b), Type: b[18], Name: b[direntName:size]}
		b = b[size:]
		for i, c := range e.Name {
			if c == 0 {
				e.Name = e.Name[:i]
				break
			}
		}
		if string(e.Name) == "." || string(e.Name) == ".." || e.Inode == 0 { // 0 if the file was removed meanwhile
			continue
		}
		names++
		if !known {
			e.Inode = 0
		}
		if e.Type == unix.DT_UNKNOWN {
			w.recall.keeps = false // the file's type can change without a change of the directory
			if !ask(fd, &e) {
				continue
			}
		}
		w.recall.note(&e)
		w.visit(j, &e)
	}
	w.recall.done(names)
	w.count(names)
}

// showKept shows the visitor the entries of a directory that the memory knows.
func (w *worker) showKept(j *job, l *listed) {
	for kept := l.kept; len(kept) > 0; {
		var e Entry
		if e, kept = nextKept(kept); kept == nil {
			break // impossible: hasDir has checked the form
		}
		w.visit(j, &e)
	}
	w.count(l.names)
}

// visit shows one entry to the visitor, and makes a job of a directory that the visitor enters.
func (w *worker) visit(j *job, e *Entry) {
	if into, state := w.visitor.Visit(&j.Place, e); into && e.IsDir() {
		w.jobs = append(w.jobs, job{Place: Place{below(j.Path, e.Name), state}, depth: j.depth + 1})
	}
}

// count counts names, and ends the walk if there are too many.
func (w *worker) count(names int) {
	if total := w.names.Add(int64(names)); w.t.Max > 0 && total > int64(w.t.Max) {
		w.end(ErrTooMany)
	}
}

// numbered reports whether the directories of a file system contain the inode numbers that stat(2) shows. For example,
// the directories of an overlay need not.
func numbered(fd int) bool {
	var fs unix.Statfs_t
	if unix.Fstatfs(fd, &fs) != nil {
		return false
	}
	switch fs.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}

// ask finds the type of an entry if the directory does not give it. It returns false if the file no longer exists. If
// the caller may not look at the file, it counts as a directory, which then cannot be read.
func ask(fd int, e *Entry) bool {
	var st unix.Stat_t
	switch err := unix.Fstatat(fd, string(e.Name), &st, unix.AT_SYMLINK_NOFOLLOW); {
	case err == unix.ENOENT:
		return false
	case err != nil:
		e.Type = unix.DT_DIR
	default:
		e.Type = uint8(st.Mode >> 12 & 0xf) // DT_* are the bits of S_IFMT: readdir(3)
	}
	return true
}

func below(dir string, name []byte) string {
	if dir == "/" {
		dir = ""
	}
	var b strings.Builder
	b.Grow(len(dir) + 1 + len(name))
	b.WriteString(dir)
	b.WriteByte('/')
	b.Write(name)
	return b.String()
}
