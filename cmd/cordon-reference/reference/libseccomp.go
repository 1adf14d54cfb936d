//go:build cgo && libseccomp

package reference

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"cordon/policy/filter"

	libseccomp "github.com/seccomp/libseccomp-golang"
)

// Arches maps our names of ABIs to libseccomp's.
var Arches = map[filter.Arch]libseccomp.ScmpArch{
	filter.AMD64: libseccomp.ArchAMD64, filter.ARM64: libseccomp.ArchARM64, filter.RISCV64: libseccomp.ArchRISCV64,
	filter.I386: libseccomp.ArchX86, filter.ARM: libseccomp.ArchARM, filter.X32: libseccomp.ArchX32,
}

// Version returns the version of libseccomp.
func Version() string {
	major, minor, micro := libseccomp.GetLibraryVersion()
	return fmt.Sprintf("%d.%d.%d", major, minor, micro)
}

// Action converts our action to libseccomp's.
func Action(a filter.Action) (libseccomp.ScmpAction, error) {
	switch a.Kind {
	case filter.Allow:
		return libseccomp.ActAllow, nil
	case filter.Errno:
		return libseccomp.ActErrno.SetReturnCode(int16(a.Errno)), nil
	case filter.Kill:
		return libseccomp.ActKillProcess, nil
	case filter.KillThread:
		return libseccomp.ActKillThread, nil
	case filter.Log:
		return libseccomp.ActLog, nil
	case filter.Trap:
		if a.Errno == 0 {
			return libseccomp.ActTrap, nil
		}
	case filter.Trace:
		return libseccomp.ActTrace.SetReturnCode(int16(a.Errno)), nil
	case filter.Notify:
		return libseccomp.ActNotify, nil
	}
	return libseccomp.ActInvalid, fmt.Errorf("libseccomp has no action %s", a)
}

// NewFilter returns an empty libseccomp filter for one ABI, which need not be the machine's.
func NewFilter(deflt filter.Action, abi filter.Arch, optimize int) (*libseccomp.ScmpFilter, error) {
	a, err := Action(deflt)
	if err != nil {
		return nil, err
	}
	f, err := libseccomp.NewFilter(a)
	if err != nil {
		return nil, err
	}
	host, err := libseccomp.GetNativeArch()
	for _, step := range []func() error{
		func() error { return err },
		func() error { return f.SetBadArchAction(libseccomp.ActKillProcess) },
		func() error { return f.SetOptimize(optimize) },
		func() error { return f.AddArch(Arches[abi]) },
		func() error {
			if host == Arches[abi] {
				return nil
			}
			return f.RemoveArch(host)
		},
	} {
		if err := step(); err != nil {
			f.Release()
			return nil, err
		}
	}
	return f, nil
}

// Export returns the program that libseccomp compiles from f.
func Export(f *libseccomp.ScmpFilter) ([]filter.Insn, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	done := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(r)
		done <- b
	}()
	err = f.ExportBPF(w)
	w.Close()
	b := <-done
	if err != nil {
		return nil, err
	}
	insns := make([]filter.Insn, len(b)/8)
	for i := range insns {
		in := b[8*i:]
		insns[i] = filter.Insn{Code: binary.LittleEndian.Uint16(in), Jt: in[2], Jf: in[3], K: binary.LittleEndian.Uint32(in[4:])}
	}
	return insns, nil
}

// add gives the decision on a call to libseccomp: a rule for each path of the diagram that does not lead to the
// default.
func add(f *libseccomp.ScmpFilter, nr libseccomp.ScmpSyscall, d *decision, deflt filter.Action) error {
	var err error
	d.paths(d.root, func(c *cube, t node) bool {
		if d.action(t) == deflt {
			return true
		}
		var a libseccomp.ScmpAction
		if a, err = Action(d.action(t)); err == nil {
			err = addCube(f, nr, a, c)
		}
		return err == nil
	})
	return err
}

func addCube(f *libseccomp.ScmpFilter, nr libseccomp.ScmpSyscall, a libseccomp.ScmpAction, c *cube) error {
	var conds []libseccomp.ScmpCondition
	for i, mask := range c.mask {
		if mask == 0 {
			continue
		}
		cond, err := libseccomp.MakeCondition(uint(i), libseccomp.CompareMaskedEqual, mask, c.value[i])
		if err != nil {
			return err
		}
		conds = append(conds, cond)
	}
	if len(conds) == 0 {
		return f.AddRule(nr, a)
	}
	return f.AddRuleConditional(nr, a, conds)
}
