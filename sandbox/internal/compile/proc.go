package compile

// proc(5): masked and read-only paths as the OCI runtime specification's defaults have them (runtime-spec,
// config-linux.md; Docker and runc use the same lists). hidepid by name needs Linux 5.8.

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
)

// maskedPaths are covered by /dev/null, or by an empty directory; readOnlyPaths by themselves, read-only. What a kernel
// does not have is left out.
var (
	maskedPaths = [...]string{"acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "locks", "sched_debug", "scsi", "timer_list", "timer_stats"}

	readOnlyPaths = [...]string{"bus", "fs", "irq", "sys", "sysrq-trigger"}

	maskedSysPaths = [...]string{"firmware/", "devices/virtual/powercap/"}
)

// proc mounts the pid namespace's proc. Nothing is written through it, and nothing is looked up by a path of the host.
func (c *Compilation) proc(from plan.From, m *policy.Mount, target string) error {
	if c.made&unix.CLONE_NEWPID == 0 && c.IDs.NewUser && !c.joinedWithUser(unix.CLONE_NEWPID) {
		return &fail.UnsupportedError{Layer: policy.LayerMount, Why: "proc shows the processes of the pid namespace and needs one of the sandbox's own",
			From: m.Pos.Short(), Remedy: "leave out namespaces.pid: new is the default"}
	}
	c.do(from, plan.FsopenStep("proc").Into(plan.FS))
	if m.Hidepid != "" {
		c.do(from, plan.FsString(plan.R(plan.FS), "hidepid", m.Hidepid))
	}
	c.fsmount(from, plan.Proc, picture.AttrBase|picture.AttrNoExec)
	c.attach(from, plan.R(plan.Proc), target, true)
	c.Tree.Add(picture.Part{Target: target, Source: "/proc", Write: true, What: "proc", Rule: m.Pos})
	readOnly, masked := readOnlyPaths[:], maskedPaths[:]
	if m.ReadOnly.Set {
		readOnly = m.ReadOnly.V
	}
	if m.Mask.Set {
		masked = m.Mask.V
	}
	readOnly, masked = c.present(target, readOnly), c.present(target, masked)
	if err := c.unknownMasks(m, target); err != nil {
		return err
	}
	for _, name := range readOnly {
		c.procReadOnly(from, target, strings.TrimSuffix(name, "/"), m.Pos)
	}
	for _, name := range masked {
		c.mask(from, target, name, m.Pos)
	}
	c.do(from, plan.CloseStep(plan.R(plan.Proc)))
	return nil
}

// present is a list as names below the mount, those that exist, directories marked by a /. The host's proc is asked,
// which is the same kernel's: a mount made for nothing costs more than the whole list, since giving it back waits for
// all processors.
func (c *Compilation) present(target string, list []string) (names []string) {
	names = make([]string, 0, len(list))
	for _, name := range list {
		if paths.Below(name, target) && name != target {
			name = name[len(target)+1:]
		}
		info, err := c.Tree.Lstat("/proc/" + name)
		switch {
		case err != nil:
		case info.IsDir():
			names = append(names, name+"/")
		default:
			names = append(names, name)
		}
	}
	return names
}

// sometimes are names below /proc that a profile may mask though this kernel lacks them: other kernels have them.
var sometimes = [...]string{"thermal", "kallsyms", "kmsg", "config.gz", "vmcore", "kpagecount", "kpageflags", "kpagecgroup", "mem", "slabinfo", "pagetypeinfo",
	"vmallocinfo", "modules", "mtrr", "swaps", "tty", "driver", "sysvipc", "pressure"}

// unknownMasks refuses a path that a profile masks and no kernel is known to have: its name is probably mistyped.
func (c *Compilation) unknownMasks(m *policy.Mount, target string) error {
	for _, path := range append(m.Mask.V[:len(m.Mask.V):len(m.Mask.V)], m.ReadOnly.V...) {
		name := strings.TrimPrefix(path, target+"/")
		known := slices.Contains(maskedPaths[:], name) || slices.Contains(readOnlyPaths[:], name) || slices.Contains(sometimes[:], name)
		if _, err := c.Tree.Lstat("/proc/" + name); err != nil && !known {
			return &fail.Error{Op: path, Err: fail.Bare(err), Hint: "correct the name: what is not there cannot be masked, and what is meant would stay open"}
		}
	}
	return nil
}

func (c *Compilation) procReadOnly(from plan.From, target, name string, rule policy.Pos) {
	tree := plan.R(plan.Tree)
	c.do(from,
		plan.Clone(plan.R(plan.Proc), name, cloneOne|unix.AT_SYMLINK_NOFOLLOW).Into(plan.Tree).OrElse(plan.ENOENT),
		plan.Setattr(tree, "", unix.AT_EMPTY_PATH, picture.AttrRO, 0, 0).OrElse(plan.EBADF),
		plan.Move(tree, plan.R(plan.Proc), name, fromFD).OrElse(plan.ENOENT),
		plan.CloseStep(tree).OrElse(plan.EBADF))
	c.Tree.Add(picture.Part{Target: paths.Join(target, name), Source: "/proc/" + name, Absent: true, What: "read-only part of proc", Rule: rule})
}

// mask covers a file by the host's /dev/null, opened without following a link, and a directory by an empty one
// (CVE-2025-31133: a /dev/null of the sandbox's own could be anything).
func (c *Compilation) mask(from plan.From, target, name string, rule policy.Pos) {
	name, dir := strings.CutSuffix(name, "/")
	if dir {
		c.emptyNodes()
		c.do(from, plan.Clone(plan.R(plan.Scratch), "dir", cloneOne).Into(plan.Tree))
	} else {
		c.do(from, plan.Clone(plan.CWD, "/dev/null", cloneOne|unix.AT_SYMLINK_NOFOLLOW).Into(plan.Tree))
	}
	c.do(from,
		plan.Setattr(plan.R(plan.Tree), "", unix.AT_EMPTY_PATH, picture.AttrRO|picture.AttrNoExec|uint64(unix.MOUNT_ATTR_NOSUID), 0, 0),
		plan.Move(plan.R(plan.Tree), plan.R(plan.Proc), name, fromFD).OrElse(plan.ENOENT),
		plan.CloseStep(plan.R(plan.Tree)))
	c.Tree.Add(picture.Part{Target: paths.Join(target, name), File: !dir, Opaque: true, Absent: true, What: "masked", Rule: rule})
}
