package child

// bpf(2) for guarding the devices of a cgroup: a program of a dozen instructions needs no library.

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// GuardDevices attaches a program of type cgroup_device to the group that a descriptor names. The group keeps it.
func GuardDevices(group int, program []byte) error {
	license := [...]byte{'M', 'I', 'T', 0}
	load := struct {
		kind, instructions uint32
		program, license   uint64
	}{unix.BPF_PROG_TYPE_CGROUP_DEVICE, uint32(len(program) / 8), 0, 0}
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
		_                                [4]uint64 // kernels from 6.17 on write there, whatever the size is
	}{target: uint32(group), kind: unix.BPF_CGROUP_DEVICE}
	_, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&query), unsafe.Sizeof(query))
	return int(query.count), err
}

func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
