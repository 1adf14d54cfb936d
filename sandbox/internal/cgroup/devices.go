package cgroup

// The functions in this file limit which devices a sandbox may open or create. v1 has a controller for this:
// Documentation/admin-guide/cgroup-v1/devices.rst. v2 needs a BPF program of type cgroup_device (Linux 4.15). Both ways
// need rights over the group that only root has.

import (
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
)

// Device is a device that the sandbox may read, write and create.
type Device struct {
	Block    bool
	Major    uint32
	Minor    uint32
	AnyMinor bool
}

// line returns the device in the format of the kernel's file devices.list.
func (d Device) line() string {
	kind, minor := "c ", strconv.FormatUint(uint64(d.Minor), 10)
	if d.Block {
		kind = "b "
	}
	if d.AnyMinor {
		minor = "*"
	}
	return kind + strconv.FormatUint(uint64(d.Major), 10) + ":" + minor + " rwm"
}

// Guard denies the sandbox every device that is not in the list, and reads back from the kernel that this is in force.
func (g *Group) Guard(list []Device) (Found, error) {
	if d := g.dir("devices"); d != nil && d.Version == 1 {
		return guard1(g.fd(d), d.Path, list)
	}
	d := g.v2()
	if d == nil {
		return Found{}, &Error{Op: "guard devices", Err: errors.New("no cgroup tree has the controller"), Hint: "a kernel with CONFIG_CGROUP_DEVICE, or cgroup v2"}
	}
	fd := g.fd(d)
	if err := child.GuardDevices(fd, deviceProgram(list)); err != nil {
		return Found{}, &Error{Op: "bar " + d.Path + " from devices", Err: err, Hint: "bpf(2) needs CAP_BPF or CAP_SYS_ADMIN, and CONFIG_CGROUP_BPF"}
	}
	programs, err := child.DeviceGuards(fd)
	if err == nil && programs == 0 {
		err = errors.New("no program is attached")
	}
	if err != nil {
		return Found{}, &Error{Op: "read back the devices of " + d.Path, Err: err}
	}
	return Found{"devices", "devices: a program for " + strconv.Itoa(len(list)), "BPF_PROG_QUERY of " + d.Path}, nil
}

func guard1(fd int, dir string, list []Device) (Found, error) {
	if err := writeAt(fd, "devices.deny", "a"); err != nil {
		return Found{}, &Error{Op: "bar " + dir + " from devices", Err: err}
	}
	allow, err := unix.Openat(fd, "devices.allow", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Found{}, &Error{Op: "allow devices in " + dir, Err: err}
	}
	defer unix.Close(allow)
	var want []string
	for _, dev := range list {
		if _, err := again(allow, []byte(dev.line()), unix.Write); err != nil {
			return Found{}, &Error{Op: "allow " + dev.line() + " in " + dir, Err: err, Hint: "a group above does not have it"}
		}
		want = append(want, dev.line())
	}
	text, err := readAt(fd, "devices.list")
	if err != nil {
		return Found{}, &Error{Op: "read back the devices", Err: err}
	}
	have := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		return Found{}, &Error{Op: "read back the devices", Err: errors.New("devices.list is " + strings.Join(have, ", "))}
	}
	return Found{"devices", "devices: " + strings.Join(have, ", "), dir + "/devices.list"}, nil
}

// Opcodes of BPF: Documentation/bpf/standardization/instruction-set.rst.
const (
	bpfLoad32 = 0x61 // r = *(u32 *)(r + offset)
	bpfAnd    = 0x57 // r &= imm
	bpfMov    = 0xb7 // r = imm
	bpfIfNot  = 0x55 // if r != imm, skip offset
	bpfExit   = 0x95

	regResult, regContext, regType, regMajor, regMinor = 0, 1, 2, 3, 4
)

// deviceProgram returns the BPF program that allows exactly the devices of a list. The program reads struct
// bpf_cgroup_dev_ctx. In the first word, the lower half is the device's type (1 block, 2 character), and the upper half
// is the access; the next two words are major and minor. The program returns 1 to allow the access, and otherwise 0.
func deviceProgram(list []Device) []byte {
	var p []byte
	add := func(op, dst, src byte, offset int16, imm int32) {
		p = append(p, op, dst|src<<4)
		p = binary.NativeEndian.AppendUint16(p, uint16(offset))
		p = binary.NativeEndian.AppendUint32(p, uint32(imm))
	}
	add(bpfLoad32, regType, regContext, 0, 0)
	add(bpfAnd, regType, 0, 0, 0xffff)
	add(bpfLoad32, regMajor, regContext, 4, 0)
	add(bpfLoad32, regMinor, regContext, 8, 0)
	for _, d := range list {
		kind, rest := int32(2), int16(4) // instructions to the next device
		if d.Block {
			kind = 1
		}
		if d.AnyMinor {
			rest--
		}
		add(bpfIfNot, regType, 0, rest, kind)
		add(bpfIfNot, regMajor, 0, rest-1, int32(d.Major))
		if !d.AnyMinor {
			add(bpfIfNot, regMinor, 0, 2, int32(d.Minor))
		}
		add(bpfMov, regResult, 0, 0, 1)
		add(bpfExit, 0, 0, 0, 0)
	}
	add(bpfMov, regResult, 0, 0, 0)
	add(bpfExit, 0, 0, 0, 0)
	return p
}
