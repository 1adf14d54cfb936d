package compile

// This file adds the steps to the plan that set up /proc (see proc(5)) and /dev. It also makes the contents of the
// files in /etc that cordon makes for the sandbox, such as /etc/passwd. By default it hides and protects the paths of
// the OCI runtime specification (runtime-spec, config-linux.md; Docker and runc use the same lists). The mount option
// hidepid by name needs Linux 5.8.

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// maskedSysPaths are the paths of a new sysfs that are hidden.
var maskedSysPaths = [...]string{"firmware/", "devices/virtual/powercap/"}

// proc mounts a proc file system that shows the task's pid namespace. No step writes through it, and no step names a
// path of the host. If the profile says pid: host, proc binds the caller's /proc read-only instead.
func (c *Compilation) proc(from plan.From, m *policy.Mount, target string) error {
	// A proc file system shows the pid namespace of the process that mounts the file system. The kernel allows the
	// mount only if the process's user namespace owns that pid namespace.
	callers := c.Profile.Namespaces.PID.Mode == policy.NSHost
	switch {
	case c.made&unix.CLONE_NEWPID == 0 && c.IDs.NewUser && !c.joinedWithUser(unix.CLONE_NEWPID) && (!callers || c.Joined(unix.CLONE_NEWNS) != nil):
		return &fail.UnsupportedError{Layer: policy.LayerMount, Why: "proc shows the processes of the pid namespace and needs one of the sandbox's own",
			From: m.Pos.Short(), Remedy: "leave out namespaces.pid: new is the default"}
	case callers && m.Hidepid != "":
		return &fail.UnsupportedError{Layer: policy.LayerMount, Why: "hidepid: with namespaces.pid: host the task's /proc is the caller's, and keeps the caller's options",
			From: m.Pos.Short(), Remedy: "leave out hidepid, or namespaces.pid"}
	case callers:
		c.procOfCaller(from, target, m.Pos)
	default:
		c.newProc(from, target, m)
	}
	// The descriptor of proc stays open, because the mounts that hide parts of proc name these parts relative to the
	// descriptor, and not by a path.
	masked, readOnly := m.ProcParts(c.Profile.BareProc())
	if c.Profile.BareProc() && !callers {
		c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerMount,
			Why:     "nest: parts of " + target + " are not covered, because a launcher inside can mount a proc only where nothing covers this one",
			Instead: "the modes of its files, which give most to root of the host; /proc/keys names the keys of the task's user"})
	}
	readOnly, masked = c.present(target, readOnly), c.present(target, masked)
	if err := c.unknownMasks(m, target); err != nil {
		return err
	}
	// Read-only paths come first. So if a path is in both lists, the mount that hides it lies on top.
	for _, name := range readOnly {
		c.procReadOnly(from, target, strings.TrimSuffix(name, "/"), m.Pos)
	}
	for _, name := range masked {
		c.mask(from, target, name, m.Pos)
	}
	c.leave(from, plan.R(plan.Proc), 0)
	return nil
}

// newProc mounts a new proc file system for the sandbox's pid namespace.
func (c *Compilation) newProc(from plan.From, target string, m *policy.Mount) {
	c.do(from, plan.FsopenStep("proc").Into(plan.FS))
	if m.Hidepid != "" {
		c.do(from, plan.FsString(plan.R(plan.FS), "hidepid", m.Hidepid))
	}
	c.fsmount(from, plan.Proc, picture.AttrBase|picture.AttrNoExec)
	c.attach(from, plan.R(plan.Proc), target, true)
	c.Tree.Add(picture.Part{Target: target, Source: "/proc", Write: true, What: "proc", Rule: m.Pos})
}

// procOfCaller binds the caller's /proc together with the mounts that hide parts of it, as in a container. A new proc
// would need rights over the user namespace that owns the pid namespace. The bind is read-only, because it shows the
// caller's own processes, which the task's id could otherwise change.
func (c *Compilation) procOfCaller(from plan.From, target string, rule policy.Pos) {
	c.do(from, plan.Clone(plan.CWD, "/proc", CloneTree|unix.AT_SYMLINK_NOFOLLOW).Into(plan.Proc),
		plan.Setattr(plan.R(plan.Proc), "", WholeMount, picture.AttrRO|picture.AttrBase|picture.AttrNoExec, 0, unix.MS_PRIVATE))
	c.attach(from, plan.R(plan.Proc), target, true)
	c.Tree.Add(picture.Part{Target: target, Source: "/proc", What: "the caller's proc", Rule: rule})
	c.way(policy.LayerMount, "a new proc of the caller's pid namespace cannot be mounted", "the caller's /proc is bound read-only, with what masks parts of it")
}

// present returns the names of a list that exist below the mount; a trailing / marks a directory. It looks at the
// host's proc, which comes from the same kernel. Checking the whole list takes less time than a single needless mount,
// because the kernel waits for all processors before it frees a mount. If a module adds an entry later, the entry stays
// visible.
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

// sometimes lists names below /proc that a profile may hide even if this kernel lacks them, because other kernels have
// them.
var sometimes = [...]string{"thermal", "kallsyms", "kmsg", "config.gz", "vmcore", "kpagecount", "kpageflags", "kpagecgroup", "mem", "slabinfo", "pagetypeinfo",
	"vmallocinfo", "modules", "mtrr", "swaps", "tty", "driver", "sysvipc", "pressure"}

// unknownMasks refuses to hide a path of /proc that no known kernel has, because the name is probably mistyped.
func (c *Compilation) unknownMasks(m *policy.Mount, target string) error {
	for _, path := range append(m.Mask.V[:len(m.Mask.V):len(m.Mask.V)], m.ReadOnly.V...) {
		name := strings.TrimPrefix(path, target+"/")
		known := slices.Contains(policy.MaskedProc[:], name) || slices.Contains(policy.ReadOnlyProc[:], name) || slices.Contains(sometimes[:], name)
		if _, err := c.Tree.Lstat("/proc/" + name); err != nil && !known {
			return &fail.Error{Op: path, Err: fail.Bare(err), Hint: "correct the name: a path that does not exist cannot be masked, and the path that you meant would stay visible"}
		}
	}
	return nil
}

// procReadOnly makes one entry of /proc read-only. It copies the entry, named relative to the descriptor of proc, and
// mounts the copy on the entry itself.
func (c *Compilation) procReadOnly(from plan.From, target, name string, rule policy.Pos) {
	// Each step tolerates that the entry does not exist, because an entry of /proc can vanish with its module between
	// the check and the mount.
	tree := plan.R(plan.Tree)
	c.copyMounts(from, plan.Tree, plan.R(plan.Proc), name, cloneOne|unix.AT_SYMLINK_NOFOLLOW, picture.AttrRO, 0, plan.ENOENT)
	c.do(from, plan.Move(tree, plan.R(plan.Proc), name, fromFD).OrElse(plan.ENOENT).OrElse(plan.EBADF))
	c.leave(from, tree, plan.EBADF)
	c.Tree.Add(picture.Part{Target: paths.Join(target, name), Source: "/proc/" + name, Absent: true, What: "read-only part of proc", Rule: rule})
}

// mask mounts an empty directory over a directory of /proc, and the host's /dev/null over a file. It opens the host's
// /dev/null without following a link. It does not use the sandbox's /dev/null, because that could be any file
// (CVE-2025-31133). A trailing slash in name marks a directory. The mount is read-only, so that nothing can be put in
// the empty directory.
func (c *Compilation) mask(from plan.From, target, name string, rule policy.Pos) {
	const attrs = picture.AttrRO | picture.AttrNoExec | uint64(unix.MOUNT_ATTR_NOSUID)
	name, dir := strings.CutSuffix(name, "/")
	if dir {
		c.emptyNodes()
		c.copyMounts(from, plan.Tree, plan.R(plan.Scratch), "dir", cloneOne, attrs, 0, 0)
	} else {
		c.copyMounts(from, plan.Tree, plan.CWD, "/dev/null", cloneOne|unix.AT_SYMLINK_NOFOLLOW, attrs, 0, 0)
	}
	c.do(from, plan.Move(plan.R(plan.Tree), plan.R(plan.Proc), name, fromFD).OrElse(plan.ENOENT))
	c.leave(from, plan.R(plan.Tree), 0)
	c.Tree.Add(picture.Part{Target: paths.Join(target, name), File: !dir, Opaque: true, Absent: true, What: "masked", Rule: rule})
}

// The next part makes a minimal /dev on a tmpfs. The nodes in it are binds of the host's devices, because mknod(2) in a
// user namespace makes no devices. The devpts instance in it is the sandbox's own (Linux 4.7).

// devNodes lists the devices that every program may expect, with their numbers (Documentation/admin-guide/devices.txt).
var devNodes = [...]devNodeOf{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}

// devNodeOf describes a device by its name in /dev and its numbers.
type devNodeOf struct {
	name         string
	major, minor uint32
}

// ownDev is the What of a /dev that the launcher has built, and that seal makes read-only.
const ownDev = "the sandbox's /dev"

// devLinks are the symbolic links that programs expect in /dev.
var devLinks = [...]struct{ name, text string }{
	{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
	{"ptmx", "pts/ptmx"}, {"core", "/proc/kcore"},
}

// dev builds /dev. Once it is complete, seal makes it read-only, except for pts and shm. It fails on a host whose /dev
// lacks one of devNodes.
func (c *Compilation) dev(from plan.From, m *policy.Mount, target string) error {
	// This is the only mount without nodev, because programs open devices through it. The task cannot create a device
	// in it, because it becomes read-only, and because mknod(2) of a device fails in a user namespace.
	devfd := plan.R(plan.Dev)
	c.tmpfs(from, plan.Dev, "755", 64<<10, picture.AttrBase&^uint64(unix.MOUNT_ATTR_NODEV)|picture.AttrNoExec)
	c.attach(from, devfd, target, true)
	p := picture.Part{Target: target, Made: map[string]picture.Node{}, What: ownDev, Rule: m.Pos}
	outputs := [3]bool{}
	for _, l := range devLinks {
		// In place of the link /dev/stdout or /dev/stderr there may be a bind of the output file: see bindsOutput.
		if n, ok := c.bindsOutput(l.name); ok {
			outputs[n] = true
			continue
		}
		c.do(from, plan.SymlinkStep(l.text, devfd, l.name))
		p.Made[paths.Join(target, l.name)] = picture.Node{Link: l.text}
	}
	c.do(from, plan.MkdirStep(devfd, "pts", 0o755), plan.MkdirStep(devfd, "shm", 0o755))
	c.Tree.Add(p)
	for n, bound := range outputs {
		if bound {
			c.bindOutput(from, target, StdioNames[n], n)
		}
	}
	for _, n := range devNodes {
		if err := c.devNode(from, target, n.name, "/dev/"+n.name, n.major, n.minor, m.Pos); err != nil {
			return err
		}
	}
	// With tty: inherit, /dev/console is the caller's terminal.
	if tty := c.consolePath(); tty != "" {
		if err := c.devNode(from, target, "console", tty, 0, 0, m.Pos); err != nil {
			return err
		}
	}
	c.devpts(from, target, m.Pos)
	// /dev/shm is a tmpfs of the sandbox's own, because processes share memory there: shm_open(3).
	to := c.keeper()
	c.tmpfs(from, to, "1777", 0, picture.AttrBase|picture.AttrNoExec)
	c.do(from, plan.Move(plan.R(to), devfd, "shm", fromFD))
	c.Tree.Add(picture.Part{Target: paths.Join(target, "shm"), Write: true, Noexec: true, FD: c.put(from, to), Made: map[string]picture.Node{}, What: "a tmpfs", Rule: m.Pos})
	c.leave(from, devfd, 0)
	return nil
}

// devNode binds a device of the host, after a check that the device has the expected number. If major is 0, any number
// is accepted. The child does not follow a link at that name (AT_SYMLINK_NOFOLLOW). The mount lacks nodev, because
// programs open the device through it.
func (c *Compilation) devNode(from plan.From, target, name, source string, major, minor uint32, rule policy.Pos) error {
	info, err := c.Host.Files.Lstat(source)
	if err != nil {
		return c.noDevice(source+": "+fail.Bare(err).Error(), rule)
	}
	// If /dev/null were a disk's node, the task would get that disk.
	if info.Mode()&fs.ModeCharDevice == 0 || major != 0 && deviceOf(info) != unix.Mkdev(major, minor) {
		return c.noDevice(source+" is not the device that it should be", rule)
	}
	c.do(from, plan.MkfileStep(plan.R(plan.Dev), name, 0o444))
	to := c.keeper()
	c.copyMounts(from, to, plan.CWD, source, cloneOne|unix.AT_SYMLINK_NOFOLLOW, uint64(unix.MOUNT_ATTR_NOSUID)|picture.AttrNoExec, unix.MS_PRIVATE, 0)
	c.do(from, plan.Move(plan.R(to), plan.R(plan.Dev), name, fromFD))
	c.Tree.Add(picture.Part{Target: paths.Join(target, name), Source: source, File: true, Write: true, What: aDevice, FD: c.put(from, to), Rule: rule})
	return nil
}

// aDevice is the What of a part through which devices can be opened. The part shows one device, or a directory of
// devices.
const aDevice = "a device"

// asksForDevices reports whether a bind of a path of the host asks for devices: the path is a device, or a directory in
// /dev, such as /dev/dri. A bind of the whole /dev asks for no device in particular, so the result is false.
func asksForDevices(src string, info fs.FileInfo) bool {
	return info.Mode()&fs.ModeDevice != 0 || info.IsDir() && src != "/dev" && paths.Below(src, "/dev") && !paths.Below(src, "/dev/shm")
}

// isDevices does what asksForDevices does, for a mount of the profile.
func (c *Compilation) isDevices(m *policy.Mount) bool {
	src, err := c.hostSource(m.Source)
	if err != nil {
		return false
	}
	info, err := c.Tree.Lstat(src)
	return err == nil && asksForDevices(src, info)
}

// bindDevices binds a device, or a directory of devices, without nodev. The mount is always read-only. A read-only
// mount does not keep the task from writing to a device; Landlock decides about that, and about ioctl(2).
func (c *Compilation) bindDevices(from plan.From, m *policy.Mount, src string, info fs.FileInfo) error {
	target, err := c.bindTarget(m)
	if err != nil {
		return err
	}
	// The task may always write to null, zero and the other devices of devNodes.
	single := !info.IsDir()
	write := m.Write || single && c.isDevNode(info)
	if p := c.Tree.At(target); p != nil && p.Target == target && p.What == aDevice && p.Source == src && (p.Write || !write) {
		c.Left = append(c.Left, report.Added{Path: m.Place(), Why: "the sandbox's /dev has it already"})
		return nil
	}
	if !write && (c.Profile.Landlock.Off || c.Host.LandlockABI == 0) {
		if err := c.lacking(policy.LayerLandlock, src+": without Landlock nothing keeps the program from writing to a device that is bound read-only",
			"the device's own permissions", m.Pos.Short(), "bind it with --rw if the program may write to it, or leave it out"); err != nil {
			return err
		}
	}
	if target, err = c.place(from, target, !single); err != nil {
		return c.tolerate(m, err)
	}
	mnt := c.openSource(from, plan.Tree, src, picture.AttrRO|uint64(unix.MOUNT_ATTR_NOSUID)|picture.AttrNoExec, m.Pos.Short())
	if c.IDs.Idmapped {
		c.Sources[len(c.Sources)-1].Devices = true
	}
	c.attach(from, mnt, target, false)
	c.Tree.Add(picture.Part{Target: target, Source: src, File: single, Write: write, Noexec: true, What: aDevice, Rule: m.Pos})
	return nil
}

// isDevNode reports whether a device is one of devNodes. These devices hold nothing, so writing to them changes
// nothing.
func (c *Compilation) isDevNode(info fs.FileInfo) bool {
	return info.Mode()&fs.ModeCharDevice != 0 && slices.ContainsFunc(devNodes[:], func(n devNodeOf) bool {
		return deviceOf(info) == unix.Mkdev(n.major, n.minor)
	})
}

// noDevice returns the error for a host that lacks a device which the sandbox's /dev needs.
func (c *Compilation) noDevice(why string, rule policy.Pos) error {
	return &fail.UnsupportedError{Layer: policy.LayerMount, Why: why + ": the nodes of a sandbox's /dev are the host's", From: rule.Short(),
		Remedy: "mount -t devtmpfs dev /dev, or bind the host's /dev into this root"}
}

// devpts mounts the devpts instance of the task's terminal, or a new one.
func (c *Compilation) devpts(from plan.From, dev string, rule policy.Pos) {
	// The devpts instance of the task's own terminal is made before the mounts and can be shown only once. If the
	// profile has a second /dev, that one gets a new instance.
	p := picture.Part{Target: paths.Join(dev, "pts"), Write: true, What: "devpts", Rule: rule}
	pts, first := plan.Pts, c.OwnPts && !c.shownPts
	if first {
		c.shownPts = true
	} else {
		pts = c.keeper()
		c.newDevpts(from, pts)
	}
	c.do(from, plan.Move(plan.R(pts), plan.R(plan.Dev), "pts", fromFD))
	if first {
		c.do(from, plan.CloseStep(plan.R(pts)))
	} else {
		p.FD = c.put(from, pts)
	}
	c.Tree.Add(p)
	if first {
		c.console(from, dev, rule)
	}
}

// newDevpts makes a devpts instance. If the task changes its ids later, without a user namespace, the mount options
// make the task the owner of its terminal. Since Linux 4.7 every mount of devpts is a new instance, and the kernel
// ignores the option newinstance.
func (c *Compilation) newDevpts(from plan.From, to plan.Reg) {
	fsfd := plan.R(plan.FS)
	// ptmxmode is set because its default is 0000: nobody could open a terminal through this instance's own ptmx.
	c.do(from, plan.FsopenStep("devpts").Into(plan.FS), plan.FsFlag(fsfd, "newinstance"),
		plan.FsString(fsfd, "ptmxmode", "0666"), plan.FsString(fsfd, "mode", "0620"))
	if c.OwnTTY && !c.IDs.NewUser {
		c.do(from, plan.FsString(fsfd, "uid", strconv.Itoa(c.IDs.InUID)), plan.FsString(fsfd, "gid", strconv.Itoa(c.IDs.InGID)))
	}
	c.fsmount(from, to, uint64(unix.MOUNT_ATTR_NOSUID)|picture.AttrNoExec)
}

// deviceOf returns the device number of a node, or 0 if it is not known.
func deviceOf(info fs.FileInfo) uint64 {
	if st, ok := host.StatOf(info); ok {
		return uint64(st.Rdev) //nolint:unconvert // 32 bits on some architectures
	}
	return 0
}

// The next part generates files that programs expect in /etc, for the sandbox's own ids, host name and network.

// generate returns the generated text for the file with the path target.
func (c *Compilation) generate(target string) (string, error) {
	_, name := paths.Split(target)
	switch name {
	case "passwd":
		return c.passwd(), nil
	case "group":
		text := "root:x:0:\n"
		if c.IDs.InGID != 0 {
			text += c.userName() + ":x:" + strconv.Itoa(c.IDs.InGID) + ":\n"
		}
		return text + "nogroup:x:65534:\n", nil
	case "hosts":
		return "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 " + c.hostnameText() + "\n", nil
	case "hostname":
		return c.hostnameText() + "\n", nil
	case "nsswitch.conf":
		return "passwd: files\ngroup: files\nhosts: files dns\n", nil
	case "resolv.conf":
		return c.resolvConf()
	}
	return "", errors.New("generate knows passwd, group, hosts, hostname, nsswitch.conf and resolv.conf, not " + name)
}

// passwd returns an /etc/passwd with root, the task's user and nobody.
func (c *Compilation) passwd() string {
	home := c.Host.Home
	// getpwuid(3) must find a home, because shells and many libraries fail without one.
	if home == "" {
		home = "/"
	}
	// A colon in the home's path would begin another field, and a newline another user, so such a character is
	// replaced.
	text := ""
	if c.IDs.InUID != 0 {
		text = "root:x:0:0:root:/:/bin/sh\n"
	}
	text += c.userName() + ":x:" + strconv.Itoa(c.IDs.InUID) + ":" + strconv.Itoa(c.IDs.InGID) + "::" + strings.NewReplacer(":", "_", "\n", "_").Replace(home) + ":/bin/sh\n"
	return text + "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
}

// userName returns the caller's name if the name has the usual form of useradd(8), and otherwise "user".
func (c *Compilation) userName() string {
	name := c.Host.Name
	switch {
	case c.IDs.InUID == 0:
		return "root"
	case name == "" || name == "root" || len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-.ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "":
		return "user"
	}
	return name
}

// resolvFile is the file that names the name servers of a network: resolv.conf(5).
const resolvFile = "/etc/resolv.conf"

// maxResolv bounds, in bytes, how much of the host's resolv.conf is copied.
const maxResolv = 64 << 10

// resolvConf returns the host's resolv.conf. If the sandbox has a network of its own, it returns a text that names no
// server. The text is copied, because the host's file is often a link into /run, which the sandbox does not show.
func (c *Compilation) resolvConf() (string, error) {
	if c.OwnNet {
		return "# no network\n", nil
	}
	text, err := c.Host.Files.Read(resolvFile, maxResolv+1)
	if err != nil {
		return "", errors.New(resolvFile + ": " + fail.Bare(err).Error())
	}
	if len(text) > maxResolv {
		c.note(resolvFile + " of the host has more than 64 KiB: the sandbox's copy ends after the last whole line of these")
		text = text[:bytes.LastIndexByte(text[:maxResolv], '\n')+1]
	}
	return string(text), nil
}
