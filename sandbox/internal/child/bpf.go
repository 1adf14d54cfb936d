package child

// This file makes bpf(2) calls for maps, programs, raw tracepoints (Linux 4.17) and the ring buffer (5.8), for a
// recorder that root runs. It also loads the small program that filters the devices of a cgroup. All of this is in this
// package because the structures contain pointers.
// structures contain pointers.

import (
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// GuardDevices attaches a BPF program of type cgroup_device to a cgroup. group is a descriptor of the cgroup. The
// program stays attached as long as the cgroup exists.
func GuardDevices(group int, program []byte) error {
	license := [...]byte{'M', 'I', 'T', 0}
	load := struct {
		kind, instructions uint32
		program, license   uint64
	}{unix.BPF_PROG_TYPE_CGROUP_DEVICE, uint32(len(program) / 8), 0, 0}
	// The kernel takes addresses as 64-bit numbers, which the garbage collector does not see as pointers. So the memory
	// must be pinned until the call has returned.
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&program[0])
	pin.Pin(&license[0])
	load.program = uint64(uintptr(unsafe.Pointer(&program[0])))
	load.license = uint64(uintptr(unsafe.Pointer(&license[0])))
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// With ALLOW_MULTI the programs that others have attached stay, such as systemd's. A device must then be allowed by
	// all of these programs.
	attach := struct{ target, program, kind, flags uint32 }{uint32(group), uint32(fd), unix.BPF_CGROUP_DEVICE, unix.BPF_F_ALLOW_MULTI}
	_, err = bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attach), unsafe.Sizeof(attach))
	return err
}

// DeviceGuards counts the programs that are attached to a group.
func DeviceGuards(group int) (int, error) {
	query := struct {
		target, kind, flags, attachFlags uint32
		ids                              uint64
		count, _                         uint32
		_                                [4]uint64 // Linux 6.17 and newer write to these bytes, whatever the size
	}{target: uint32(group), kind: unix.BPF_CGROUP_DEVICE}
	_, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&query), unsafe.Sizeof(query))
	return int(query.count), err
}

func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		r, _, errno := syscall.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
		switch errno {
		case 0:
			return int(r), nil
		case syscall.EAGAIN, syscall.EINTR: // a signal arrived while the kernel verified a program
		default:
			return -1, errno
		}
	}
}

// NewMap makes a map. Sizes are in bytes.
func NewMap(kind, key, value, entries uint32) (fd int, err error) {
	attr := struct{ kind, key, value, entries, flags uint32 }{kind, key, value, entries, 0}
	return bpf(unix.BPF_MAP_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// mapElem is the part of union bpf_attr for operations on an element of a map.
type mapElem struct {
	fd         uint32
	_          uint32
	key, value unsafe.Pointer
	flags      uint64
}

// SetMap sets the value of a key.
func SetMap(fd int, key, value []byte) error {
	attr := mapElem{fd: uint32(fd), key: unsafe.Pointer(&key[0]), value: unsafe.Pointer(&value[0])}
	_, err := bpf(unix.BPF_MAP_UPDATE_ELEM, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// AddMap sets the value of a new key. It returns EEXIST if the key exists.
func AddMap(fd int, key, value []byte) error {
	// The flag 1 is BPF_NOEXIST.
	attr := mapElem{fd: uint32(fd), key: unsafe.Pointer(&key[0]), value: unsafe.Pointer(&value[0]), flags: 1}
	_, err := bpf(unix.BPF_MAP_UPDATE_ELEM, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// DeleteMap removes a key. It returns ENOENT if the key has no value.
func DeleteMap(fd int, key []byte) error {
	attr := mapElem{fd: uint32(fd), key: unsafe.Pointer(&key[0])}
	_, err := bpf(unix.BPF_MAP_DELETE_ELEM, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// GetMap reads the value of a key. It returns ENOENT if the key has no value.
func GetMap(fd int, key, value []byte) error {
	attr := mapElem{fd: uint32(fd), key: unsafe.Pointer(&key[0]), value: unsafe.Pointer(&value[0])}
	_, err := bpf(unix.BPF_MAP_LOOKUP_ELEM, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// NextKey stores the key that comes after key in next. If key is nil, it stores the first. It returns ENOENT if key was
// the last.
func NextKey(fd int, key, next []byte) error {
	attr := mapElem{fd: uint32(fd), value: unsafe.Pointer(&next[0])}
	if key != nil {
		attr.key = unsafe.Pointer(&key[0])
	}
	_, err := bpf(unix.BPF_MAP_GET_NEXT_KEY, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// LoadTracepoint loads a program of encoded instructions. If typed is 0, the program is for any raw tracepoint.
// Otherwise it is for the tracepoint whose type has this number in the kernel's type information (BTF), and the
// verifier then knows the tracepoint's arguments (Linux 5.5). If the kernel refuses the program, the error contains the
// verifier's last message.
func LoadTracepoint(insns []byte, typed uint32) (fd int, err error) {
	const rawTracepoint, tracing, traceRawTP, insnSize = 17, 26, 23, 8
	license := []byte("GPL\x00")
	attr := struct {
		kind, count    uint32
		insns, license unsafe.Pointer
		level, size    uint32
		log            unsafe.Pointer
		_              [28]byte // kern_version, prog_flags, prog_name, prog_ifindex
		attachType     uint32
		_              [36]byte // prog_btf_fd, func_info …, line_info …
		typed          uint32
	}{kind: rawTracepoint, count: uint32(len(insns) / insnSize), insns: unsafe.Pointer(&insns[0]), license: unsafe.Pointer(&license[0])}
	if typed != 0 {
		attr.kind, attr.attachType, attr.typed = tracing, traceRawTP, typed
	}
	fd, err = bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != unix.EACCES && err != unix.EINVAL && err != unix.E2BIG {
		return fd, err
	}
	// The program is loaded again, this time with the verifier's log. The log is large, and needed only after an error.
	log := make([]byte, 16<<20)
	attr.level, attr.size, attr.log = 1, uint32(len(log)), unsafe.Pointer(&log[0])
	if fd, e := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); e == nil {
		return fd, nil
	}
	text := unix.ByteSliceToString(log)
	return -1, errors.New(err.Error() + ": " + text[max(0, len(text)-1<<12):])
}

// AttachRawTracepoint runs a program at a tracepoint as long as the descriptor is open. If name is "", it uses the
// tracepoint for which the program was loaded.
func AttachRawTracepoint(name string, prog int) (fd int, err error) {
	attr := struct {
		name unsafe.Pointer
		prog uint32
		_    uint32
	}{prog: uint32(prog)}
	if name != "" {
		attr.name = unsafe.Pointer(&append([]byte(name), 0)[0])
	}
	return bpf(unix.BPF_RAW_TRACEPOINT_OPEN, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// Ring is the reader's side of a map of type BPF_MAP_TYPE_RINGBUF.
type Ring struct {
	fd       int
	consumer []byte // the page with the reader's position
	producer []byte // the page with the kernel's position, followed by the data, which is mapped twice in a row
	mask     uint64
}

// NewRing makes a ring buffer of a size in bytes that is a power of two and at least a page.
func NewRing(size int) (*Ring, error) {
	fd, err := NewMap(unix.BPF_MAP_TYPE_RINGBUF, 0, 0, uint32(size))
	if err != nil {
		return nil, err
	}
	r := &Ring{fd: fd, mask: uint64(size - 1)}
	page := os.Getpagesize()
	if r.consumer, err = unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
		r.producer, err = unix.Mmap(fd, int64(page), page+2*size, unix.PROT_READ, unix.MAP_SHARED)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// FD returns the map's descriptor. poll(2) reports it as readable if there are records.
func (r *Ring) FD() int { return r.fd }

// Read calls do for each available record. The record is valid until do returns.
func (r *Ring) Read(do func([]byte)) {
	const busy, discard, header = 1 << 31, 1 << 30, 8
	at, data := (*uint64)(unsafe.Pointer(&r.consumer[0])), r.producer[len(r.consumer):]
	// The position is loaded before the length, because the kernel writes a record's length before it moves the
	// position. The busy bit is set in the length until the record is complete.
	for pos := atomic.LoadUint64(at); pos < atomic.LoadUint64((*uint64)(unsafe.Pointer(&r.producer[0]))); {
		rec := data[pos&r.mask:]
		n := atomic.LoadUint32((*uint32)(unsafe.Pointer(&rec[0])))
		if n&busy != 0 {
			return
		}
		size := uint64(n &^ (busy | discard))
		if size > uint64(len(rec))-header {
			return // a longer record is impossible
		}
		if n&discard == 0 {
			do(rec[header : header+size])
		}
		pos += (size + header + 7) &^ 7
		atomic.StoreUint64(at, pos)
	}
}

// Close unmaps the ring buffer and closes its descriptor.
func (r *Ring) Close() {
	for _, m := range [...][]byte{r.consumer, r.producer} {
		if m != nil {
			_ = unix.Munmap(m) // munmap cannot fail for a mapping of Mmap
		}
	}
	unix.Close(r.fd)
}
