package sandbox

// proc(5): masked and read-only paths as the OCI runtime specification's defaults have them (runtime-spec,
// config-linux.md; Docker and runc use the same lists). hidepid by name needs Linux 5.8.

import (
	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/plan"
)

// maskedPaths are covered by /dev/null or an empty directory; readOnlyPaths by themselves, read-only. What a kernel
// does not have is left out.
var (
	maskedPaths = [...]string{"acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats"}

	readOnlyPaths = [...]string{"bus", "fs", "irq", "sys", "sysrq-trigger"}

	maskedSysPaths = [...]string{"firmware", "devices/virtual/powercap"}
)

// proc mounts the pid namespace's proc. Nothing is written through it, and nothing is looked up by a path of the host.
func (c *compilation) proc(from plan.From, m *policy.Mount, target string) error {
	if c.plan.Clone&unix.CLONE_NEWPID == 0 && c.ids.newUser {
		return &UnsupportedError{Layer: policy.LayerMount, Why: "proc shows the processes of the pid namespace and needs one of the sandbox's own",
			From: m.Pos.Short(), Remedy: "leave out namespaces.pid: new is the default"}
	}
	c.do(from, plan.FsopenStep("proc").Into(plan.FS))
	if m.Hidepid != "" {
		c.do(from, plan.FsString(plan.R(plan.FS), "hidepid", m.Hidepid))
	}
	c.fsmount(from, plan.Proc, attrBase|attrNoExec)
	c.attach(from, plan.R(plan.Proc), target, true)
	c.tree.add(part{target: target, source: "/proc", write: true, what: "proc", rule: m.Pos})
	for _, p := range pathsOr(m.ReadOnly, readOnlyPaths[:]) {
		c.procReadOnly(from, target, p, m.Pos)
	}
	for _, p := range pathsOr(m.Mask, maskedPaths[:]) {
		c.mask(from, target, "/proc", p, m.Pos)
	}
	c.do(from, plan.CloseStep(plan.R(plan.Proc)))
	return nil
}

func pathsOr(list policy.Opt[[]string], otherwise []string) []string {
	if list.Set {
		return list.V
	}
	return otherwise
}

// kernelName is a path below a mount of the kernel's, and what the host's mount, the same kernel's, has there.
func (c *compilation) kernelName(target, host, p string) (name string, isDir, ok bool) {
	name = p
	if below(p, target) && p != target {
		name = p[len(target)+1:]
	}
	info, err := c.host.Files.Lstat(host + "/" + name)
	if err != nil {
		return name, false, false
	}
	return name, info.IsDir(), true
}

func (c *compilation) procReadOnly(from plan.From, target, p string, rule policy.Pos) {
	name, isDir, ok := c.kernelName(target, "/proc", p)
	if !ok {
		return
	}
	c.do(from,
		plan.Clone(plan.R(plan.Proc), name, cloneOne|unix.AT_SYMLINK_NOFOLLOW).Into(plan.Tree),
		plan.Setattr(plan.R(plan.Tree), "", unix.AT_EMPTY_PATH, attrRO, 0, 0),
		plan.Move(plan.R(plan.Tree), plan.R(plan.Proc), name, fromFD),
		plan.CloseStep(plan.R(plan.Tree)))
	c.tree.add(part{target: joinPath(target, name), source: "/proc/" + name, file: !isDir, what: "read-only part of proc", rule: rule})
}

// mask covers a file by the host's /dev/null, opened without following a link, and a directory by an empty one
// (CVE-2025-31133: a /dev/null of the sandbox's own could be anything).
func (c *compilation) mask(from plan.From, target, host, p string, rule policy.Pos) {
	name, isDir, ok := c.kernelName(target, host, p)
	if !ok {
		return
	}
	if isDir {
		c.emptyNodes()
		c.do(from, plan.Clone(plan.R(plan.Scratch), "dir", cloneOne).Into(plan.Tree))
	} else {
		c.do(from, plan.Clone(plan.CWD, "/dev/null", cloneOne|unix.AT_SYMLINK_NOFOLLOW).Into(plan.Tree))
	}
	c.do(from,
		plan.Setattr(plan.R(plan.Tree), "", unix.AT_EMPTY_PATH, attrRO|attrNoExec|uint64(unix.MOUNT_ATTR_NOSUID), 0, 0),
		plan.Move(plan.R(plan.Tree), plan.R(plan.Proc), name, fromFD),
		plan.CloseStep(plan.R(plan.Tree)))
	c.tree.add(part{target: joinPath(target, name), file: !isDir, opaque: true, what: "masked", rule: rule})
}
