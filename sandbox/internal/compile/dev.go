package compile

// A minimal /dev on a tmpfs: the nodes are binds of the host's, since a user namespace cannot make any (mknod(2)).
// devpts: the instance is the sandbox's own (Linux 4.7).

import (
	"errors"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
)

// devNodes are the devices that every program may expect, with their numbers (Documentation/admin-guide/devices.txt).
var devNodes = [...]struct {
	name         string
	major, minor uint32
}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}

// ownDev is what the tree calls a /dev that is still to be sealed.
const ownDev = "the sandbox's /dev"

var devLinks = [...]struct{ name, text string }{
	{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
	{"ptmx", "pts/ptmx"}, {"core", "/proc/kcore"},
}

// dev builds /dev. It is made read-only when everything is on it, but for pts and shm.
func (c *Compilation) dev(from plan.From, m *policy.Mount, target string) error {
	devfd := plan.R(plan.Dev)
	c.tmpfs(from, plan.Dev, "755", 64<<10, picture.AttrBase&^uint64(unix.MOUNT_ATTR_NODEV)|picture.AttrNoExec)
	c.attach(from, devfd, target, true)
	p := picture.Part{Target: target, Made: map[string]picture.Node{}, What: ownDev, Rule: m.Pos}
	for _, l := range devLinks {
		c.do(from, plan.SymlinkStep(l.text, devfd, l.name))
		p.Made[paths.Join(target, l.name)] = picture.Node{Link: l.text}
	}
	c.do(from, plan.MkdirStep(devfd, "pts", 0o755), plan.MkdirStep(devfd, "shm", 0o755))
	c.Tree.Add(p)
	for _, n := range devNodes {
		if err := c.devNode(from, target, n.name, "/dev/"+n.name, n.major, n.minor, m.Pos); err != nil {
			return err
		}
	}
	if tty := c.consolePath(); tty != "" {
		if err := c.devNode(from, target, "console", tty, 0, 0, m.Pos); err != nil {
			return err
		}
	}
	c.devpts(from, target, m.Pos)
	c.tmpfs(from, plan.Tree, "1777", 0, picture.AttrBase|picture.AttrNoExec)
	c.do(from, plan.Move(plan.R(plan.Tree), devfd, "shm", fromFD), plan.CloseStep(plan.R(plan.Tree)))
	c.Tree.Add(picture.Part{Target: paths.Join(target, "shm"), Write: true, Noexec: true, Made: map[string]picture.Node{}, What: "a tmpfs", Rule: m.Pos})
	c.do(from, plan.CloseStep(devfd))
	return nil
}

// devNode binds one device of the host, which must be the one it claims to be.
func (c *Compilation) devNode(from plan.From, target, name, source string, major, minor uint32, rule policy.Pos) error {
	info, err := c.Host.Files.Lstat(source)
	if err != nil {
		return errors.New(source + ": " + fail.Bare(err).Error())
	}
	if info.Mode()&fs.ModeCharDevice == 0 || major != 0 && deviceOf(info) != unix.Mkdev(major, minor) {
		return errors.New(source + " is not the device it should be")
	}
	c.do(from,
		plan.MkfileStep(plan.R(plan.Dev), name, 0o444),
		plan.Clone(plan.CWD, source, cloneOne|unix.AT_SYMLINK_NOFOLLOW).Into(plan.Tree),
		plan.Setattr(plan.R(plan.Tree), "", unix.AT_EMPTY_PATH, uint64(unix.MOUNT_ATTR_NOSUID)|picture.AttrNoExec, 0, unix.MS_PRIVATE),
		plan.Move(plan.R(plan.Tree), plan.R(plan.Dev), name, fromFD),
		plan.CloseStep(plan.R(plan.Tree)))
	c.Tree.Add(picture.Part{Target: paths.Join(target, name), Source: source, File: true, Write: true, What: "a device", Rule: rule})
	return nil
}

// devpts mounts the instance that the task's terminal is of, or a new one.
func (c *Compilation) devpts(from plan.From, dev string, rule policy.Pos) {
	pts, first := plan.Tree, c.OwnPts && !c.shownPts
	if first {
		pts, c.shownPts = plan.Pts, true
	} else {
		c.newDevpts(from, pts)
	}
	c.do(from, plan.Move(plan.R(pts), plan.R(plan.Dev), "pts", fromFD), plan.CloseStep(plan.R(pts)))
	c.Tree.Add(picture.Part{Target: paths.Join(dev, "pts"), Write: true, What: "devpts", Rule: rule})
	if first {
		c.console(from, dev, rule)
	}
}

// newDevpts makes an instance. A task that takes other ids later, without a user namespace, must own its terminal.
func (c *Compilation) newDevpts(from plan.From, to plan.Reg) {
	fsfd := plan.R(plan.FS)
	c.do(from, plan.FsopenStep("devpts").Into(plan.FS), plan.FsFlag(fsfd, "newinstance"),
		plan.FsString(fsfd, "ptmxmode", "0666"), plan.FsString(fsfd, "mode", "0620"))
	if c.OwnTTY && !c.IDs.NewUser {
		c.do(from, plan.FsString(fsfd, "uid", strconv.Itoa(c.IDs.InUID)), plan.FsString(fsfd, "gid", strconv.Itoa(c.IDs.InGID)))
	}
	c.fsmount(from, to, uint64(unix.MOUNT_ATTR_NOSUID)|picture.AttrNoExec)
}

// deviceOf is the device number of a node; 0 for what is none.
func deviceOf(info fs.FileInfo) uint64 {
	if st, ok := host.StatOf(info); ok {
		return uint64(st.Rdev) //nolint:unconvert // 32 bits on some architectures
	}
	return 0
}
