package compile

// This file plans mounts that hide or protect something: open_tree(2), move_mount(2), mount_setattr(2), rename(2).
//
// A mount point can be neither renamed nor removed, but the directories above it can. Therefore, in a writable part,
// this file makes each of these directories a mount point too.

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
)

// pin makes a directory a mount point by binding it onto itself, so that the task can neither rename nor remove it:
// rename(2) and rmdir(2) of a mount point fail with EBUSY. Mounts below the directory stay visible. pin changes nothing
// if the directory is a mount point already.
func (c *Compilation) pin(from plan.From, dir string) {
	i := c.Tree.Index(dir)
	if i < 0 || c.Tree.Parts[i].Target == dir {
		return
	}
	p := c.Tree.Parts[i]
	p.Behind = c.Tree.HostPath(dir)
	p.Target, p.Source, p.File, p.Guard, p.Absent = dir, p.Behind, false, picture.GuardPin, !c.reachable(dir)
	c.cloneOnto(from, &p, 0)
	c.Tree.Insert(i+1, p)
}

// pinAbove makes a mount point of each directory above path that the task could otherwise rename on the host. It skips
// directories on a tmpfs, because nothing on a tmpfs outlives the run.
func (c *Compilation) pinAbove(from plan.From, path string) {
	for i := 1; i < len(path); i++ {
		if path[i] != '/' {
			continue
		}
		if p := c.Tree.At(path[:i]); p != nil && p.Write && p.Source != "" && !p.Opaque {
			c.pin(from, path[:i])
		}
	}
}

// pinLink binds a symbolic link onto itself. The link still leads to its target, but the task can neither rename nor
// remove it. c.Tree, the model of the sandbox's tree, must show the link at this path.
func (c *Compilation) pinLink(from plan.From, link, text string) {
	i := c.Tree.Index(link)
	p := c.Tree.Parts[i]
	p.Behind = c.Tree.HostPath(link)
	p.Target, p.Source, p.File, p.Link, p.Guard, p.Absent = link, p.Behind, true, text, picture.GuardPin, !c.reachable(link)
	c.cloneOnto(from, &p, 0)
	c.Tree.Insert(i+1, p)
}

// protect makes a path inside the sandbox, and everything below it, read-only and immovable. A path that the sandbox
// does not show needs no protection.
func (c *Compilation) protect(from plan.From, path string, rule policy.Pos) error {
	path, err := c.Tree.Resolve(path)
	if err != nil {
		return err
	}
	c.protectThing(from, path, rule, true)
	return nil
}

// protectThing does what protect does, for a path that contains no symbolic link. For fixed see coverThing.
func (c *Compilation) protectThing(from plan.From, path string, rule policy.Pos, fixed bool) {
	isDir, exists := c.Tree.Stat(path)
	if !exists || c.Tree.At(path).Opaque {
		return
	}
	if fixed {
		c.pinAbove(from, path)
	}
	// If the task cannot write there anyway, a read-only mount would change nothing.
	if !c.Tree.WritableBelow(path) {
		return
	}
	i := c.Tree.Index(path)
	p := c.Tree.Parts[i]
	p.Behind = c.Tree.HostPath(path)
	p.Target, p.Source, p.File, p.Write, p.Rule = path, p.Behind, !isDir, false, rule
	p.Guard, p.Absent, p.What = picture.GuardProtect, !c.reachable(path), "a protected part of "+p.What
	// The bind is recursive, so everything that is mounted below the path becomes read-only too.
	c.cloneOnto(from, &p, picture.AttrRO)
	// c.Tree must record this too, because later phases find out from c.Tree what the task can write.
	for j := range c.Tree.Parts {
		if paths.Below(c.Tree.Parts[j].Target, path) {
			c.Tree.Parts[j].Write = false
		}
	}
	c.Tree.Insert(i+1, p)
}

// cloneOnto mounts the target of p once more at the same place, with everything that is mounted below it.
func (c *Compilation) cloneOnto(from plan.From, p *picture.Part, attrs uint64) {
	tree, gone := plan.R(plan.Tree), p.Gone()
	c.openTarget(from, p)
	if attrs != 0 {
		c.copyMounts(from, plan.Tree, plan.R(plan.Target), "", CloneTree|unix.AT_EMPTY_PATH, attrs, 0, gone)
	} else {
		c.do(from, plan.Clone(plan.R(plan.Target), "", CloneTree|unix.AT_EMPTY_PATH).Into(plan.Tree).OrElse(gone))
	}
	c.moveToTarget(from, p)
	c.do(from, plan.CloseStep(tree).OrElse(gone))
}

// openTarget opens the path on which a hiding or protecting mount is placed. The path contained no link when the
// launcher resolved it. If the open meets a link, somebody has put the link there since then. In that case the open
// fails, because the link would lead the mount to another file, and the file that the rule means would stay open. The
// mount may be skipped in two cases: if neither the task nor the child may search a directory on the way, and if the
// mount hides a socket that the server of the socket may remove at any time.
func (c *Compilation) openTarget(from plan.From, p *picture.Part) {
	flags, path := uint64(walk.OpenAny), p.Target
	if p.Link != "" {
		flags |= unix.O_NOFOLLOW
	}
	switch {
	case c.Host.NoOpenat2:
		closed := 0
		if p.Absent {
			closed = c.closedDirs(path)
		}
		c.openSteps(from, c.rootFD, path, flags, plan.Target, closed, p.Fleeting)
	default:
		open := plan.Open2(c.rootFD, path, flags, walk.ResolveInRoot|unix.RESOLVE_NO_SYMLINKS).Into(plan.Target)
		if p.Absent {
			open = open.OrElse(plan.EACCES)
		}
		if p.Fleeting { // its directory may be gone too, whether the task may search it or not
			open = open.OrElse(plan.ENOENT)
		}
		c.do(from, open)
	}
}

// closedDirs looks for the first component of a path that lies in a directory that the task may not search. It returns
// the number of that component, counted from 1, or 0 if there is none.
func (c *Compilation) closedDirs(path string) int {
	n, dir := 0, ""
	for name := range strings.SplitSeq(c.resolved(path)[1:], "/") {
		n++
		if dir != "" && !c.searchable(dir) {
			return n
		}
		dir += "/" + name
	}
	return 0
}

// moveToTarget moves the new mount onto its target. If somebody on the host has replaced the file since the child
// opened it, the kernel refuses to mount on the old file (ENOENT). The launcher notices that when it reads the mount
// table (checkMounts), and mounts on the file that now has the name.
func (c *Compilation) moveToTarget(from plan.From, p *picture.Part) {
	target, replaced := plan.R(plan.Target), p.Gone()
	if replaced == 0 && p.Guard != 0 {
		replaced = plan.ENOENT
	}
	c.do(from,
		plan.Move(plan.R(plan.Tree), target, "", ontoFD).OrElse(replaced),
		plan.CloseStep(target).OrElse(p.Gone()))
}

// reachable reports whether the task may search every directory of the host above a path of the sandbox. If not, the
// child, which mounts, may not either, and a mount that hides something at the path may be skipped: see openTarget.
func (c *Compilation) reachable(path string) bool {
	for dir, _ := paths.Split(path); dir != "/"; dir, _ = paths.Split(dir) {
		if !c.searchable(dir) {
			return false
		}
	}
	return true
}

// searchable reports whether the task may search a directory of the sandbox.
func (c *Compilation) searchable(dir string) bool {
	host := c.Tree.HostPath(dir)
	if host == "" {
		return true
	}
	info, err := c.Tree.Lstat(host)
	return err == nil && c.mayDo(unix.X_OK, host, info)
}

// coverThing hides a path of the sandbox by a mount on top of it. fixed is true if the rule names the path literally,
// and false if the rule is a pattern for names at any depth. If fixed is true, coverThing makes the directories above
// the path immovable. If fixed is false, it makes only those directories immovable that the pattern names, because
// rename and rm -r fail on an immovable directory. If the task moves a file that a pattern has matched, the next run
// finds the file again.
//
// A mount needs an existing file, and cordon creates no file on the host. If a file gets a hidden name during the run,
// the launcher mounts over the file at that moment (internal/launch).
func (c *Compilation) coverThing(from plan.From, target string, rule policy.Pos, fixed bool) error {
	target, err := c.Tree.Resolve(target)
	if err != nil {
		return err
	}
	isDir, exists := c.Tree.Stat(target)
	if !exists || c.Tree.At(target).Opaque {
		return nil
	}
	if target == "/" {
		return errors.New("the root cannot be hidden")
	}
	if c.hidden++; c.hidden > MaxHidden {
		return errors.New("more than " + strconv.Itoa(MaxHidden) + " matches")
	}
	if fixed {
		c.pinAbove(from, target)
	}
	p := picture.Part{Target: target, File: !isDir, Opaque: true, Empty: c.showsEmpty(rule), Absent: !c.reachable(target) || c.closedInStill(target),
		Guard: picture.GuardHide, Behind: c.Tree.HostPath(target),
		What: "hidden", Rule: rule}
	// The server of a socket may remove the socket at any time. Then there is nothing to hide.
	if info, err := c.Tree.Lstat(p.Behind); err == nil && info.Mode()&fs.ModeSocket != 0 {
		p.Fleeting = true
	}
	shown := c.liftedBelow(&p)
	if len(shown) > 0 {
		c.coverAround(from, &p, shown)
	} else {
		c.coverOnto(from, &p)
	}
	c.Tree.Add(p)
	for _, l := range shown {
		c.showLifted(l, target+l.host[len(hostName(&p)):])
	}
	return nil
}

// closedInStill reports whether the child may be unable to look up a path that a read-only overlay shows. To look up a
// directory in its topmost layer, overlayfs reads the directory's attributes with the rights of the child. If these
// rights do not suffice, overlayfs returns EACCES to everybody. The task has no right that the child lacks, so the task
// cannot look up the path either, and nothing need be hidden.
func (c *Compilation) closedInStill(target string) bool {
	if p := c.Tree.At(target); !p.Still {
		return false
	}
	host := c.Tree.HostPath(target)
	info, err := c.Tree.Lstat(host)
	return err == nil && !c.mayDo(unix.R_OK, host, info)
}

// coverOnto mounts a file or directory on top of the target of p. If the rule asks for an empty, readable file, the new
// file is empty and readable; otherwise nobody can open it.
func (c *Compilation) coverOnto(from plan.From, p *picture.Part) {
	if p.Empty || c.showsEmpty(p.Rule) {
		c.mountFromScratch(from, c.emptyCover(!p.File), p)
		return
	}
	c.mountFromScratch(from, c.coverNode(!p.File), p)
}

// showsEmpty reports whether the hide rule at a position in the profile shows an empty, readable file or directory in
// place of the hidden one. If two rules have the same position, both must ask for that.
func (c *Compilation) showsEmpty(rule policy.Pos) bool {
	empty := false
	for i := range c.Profile.Hide {
		if h := &c.Profile.Hide[i]; h.Pos == rule {
			if empty = h.Empty; !empty {
				return false
			}
		}
	}
	return empty && rule != (policy.Pos{})
}

// emptyCover returns the name of the empty, readable file or directory on the scratch file system, which is a tmpfs for
// such files. emptyCover makes the file or directory if it does not exist.
func (c *Compilation) emptyCover(dir bool) string {
	name, made := "blank", &c.scratch.blankFile
	step := plan.MkfileStep(plan.R(plan.Scratch), name, 0o444)
	if dir {
		name, made = "blankdir", &c.scratch.blankDir
		step = plan.MkdirStep(plan.R(plan.Scratch), name, 0o555)
	}
	if !*made {
		*made = true
		c.do(own("scratch"), step)
	}
	return name
}

// mountFromScratch mounts a file or directory of the scratch file system at the target of p. Before Linux 6.15, a
// repair (see repairs) attaches the scratch file system to "/" while mountFromScratch copies from it.
func (c *Compilation) mountFromScratch(from plan.From, name string, p *picture.Part) {
	if c.scratch.lent {
		c.do(from, plan.Move(plan.R(plan.Scratch), plan.CWD, "/", fromFD))
	}
	c.copyMounts(from, plan.Tree, plan.R(plan.Scratch), name, cloneOne, attrsOfCover, 0, 0)
	if c.scratch.lent {
		c.do(from, plan.Umount(".", unix.MNT_DETACH), plan.CloseStep(plan.R(plan.Scratch))) // "." is the mount on top
	}
	c.openTarget(from, p)
	c.moveToTarget(from, p)
	c.do(from, plan.CloseStep(plan.R(plan.Tree)))
}

// capsPastModes are the capabilities that let a task open a file whatever its mode is.
const capsPastModes = 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH

// coverNode returns the file or directory that is mounted over hidden things, and makes both if they do not exist. The
// file has no permission bits, so nobody can open it. If the task keeps a capability that ignores permissions,
// coverNode uses a device node in place of the file, because no task can open a device node on a nodev mount. Since
// Linux 5.8 every user may make the device node 0:0.
func (c *Compilation) coverNode(dir bool) string {
	c.emptyNodes()
	switch {
	case dir:
		return "dir"
	case c.Keep&capsPastModes == 0:
		return "file"
	case !c.scratch.device:
		c.scratch.device = true
		c.do(own("scratch"), plan.MkcharStep(plan.R(plan.Scratch), "device", 0))
	}
	return "device"
}

// emptyNodes makes the file and the directory that are mounted over hidden things. They have no permission bits.
func (c *Compilation) emptyNodes() {
	if c.scratch.empty {
		return
	}
	c.scratch.empty = true
	c.do(own("scratch"),
		plan.MkfileStep(plan.R(plan.Scratch), "file", 0),
		plan.MkdirStep(plan.R(plan.Scratch), "dir", 0))
}

// replace mounts a file with the given text over a file of the sandbox.
func (c *Compilation) replace(from plan.From, target, text string, rule policy.Pos) {
	p := picture.Part{Target: target, File: true, Text: &text, Absent: !c.reachable(target),
		Guard: picture.GuardHide, Behind: c.Tree.HostPath(target),
		What: "a copy without secrets", Rule: rule}
	c.copyOnto(from, &p)
	c.Tree.Add(p)
}

// newFile holds the flags that make a file and open it.
const newFile = unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY | unix.O_CLOEXEC

// copyOnto writes a file with the text of p, and mounts it at the target of p.
func (c *Compilation) copyOnto(from plan.From, p *picture.Part) {
	name := "file" + strconv.Itoa(c.scratch.files)
	c.scratch.files++
	c.do(from,
		plan.OpenStep(plan.R(plan.Scratch), name, newFile, 0o644).Into(plan.File),
		plan.WriteStep(plan.R(plan.File), *p.Text),
		plan.CloseStep(plan.R(plan.File)))
	c.mountFromScratch(from, name, p)
}

// repairs begins a plan that restores hiding and protecting mounts that were lost. The child of that plan enters the
// sandbox's namespaces with the task's ids, and has all capabilities there.
func (c *Compilation) repairs() *Compilation {
	r := &Compilation{Profile: c.Profile, Host: c.Host, Req: c.Req, Tree: c.Tree, IDs: c.IDs, Keep: c.Keep, rootFD: plan.F(attach.FileRoot)}
	from := own("guard")
	r.Plan.Files = []string{attach.FileRoot, FileMountNS, FileUserNS}
	if c.IDs.NewUser {
		r.do(from, plan.SetnsStep(plan.F(FileUserNS), unix.CLONE_NEWUSER))
	}
	r.do(from, plan.SetnsStep(plan.F(FileMountNS), unix.CLONE_NEWNS))
	if c.IDs.NewUser { // the helper's files need owners that the user namespace maps
		r.do(from, plan.PrctlStep(unix.PR_SET_SECUREBITS, secureFixup), plan.SetGID(uint64(c.IDs.InGID)), plan.SetUID(uint64(c.IDs.InUID)))
	}
	// The umask is 0, so that the files get exactly the modes of the plan.
	r.do(from, plan.UmaskStep(0), plan.FchdirStep(plan.F(attach.FileRoot)), plan.ChrootStep("."))
	return r
}

// Lost is a hiding or protecting mount that vanished because somebody replaced the file under it. Repair mounts it
// again.
type Lost struct {
	Part  *picture.Part
	IsDir bool // whether a directory has the name now
}

// Repair compiles the plan that mounts the lost mounts again.
func (c *Compilation) Repair(lost []Lost) (*plan.Plan, error) {
	r := c.repairs()
	for _, l := range lost {
		if err := r.repair(l.Part, l.IsDir); err != nil {
			return nil, err
		}
	}
	return &r.Plan, nil
}

// repair adds the steps that mount one lost mount again.
func (c *Compilation) repair(p *picture.Part, isDir bool) error {
	again := *p
	// The launcher has just seen a file of this name, so this time the mount may not be skipped.
	again.Absent, again.Fleeting, again.File = false, false, !isDir
	from := at("guard", -1, p.Rule)
	if p.Opaque || p.Text != nil {
		c.repairScratch()
	}
	switch {
	case p.Opaque:
		c.coverOnto(from, &again)
		return nil
	case p.Text != nil:
		again.File = true
		c.copyOnto(from, &again)
		return nil
	case p.Guard != 0 || c.Tree.IsItself(p):
		c.cloneOnto(from, &again, attrsOf(p))
		return nil
	}
	return errors.New(p.What + " was mounted there")
}

// repairScratch makes the file system that holds the files to mount over hidden things. Before Linux 6.15 only an
// attached mount can be cloned. On such a kernel each hiding mount gets a file system of its own, which is attached
// only while mountFromScratch clones it. So a repair that fails leaves nothing attached.
func (c *Compilation) repairScratch() {
	lend := !c.Host.Since(6, 15)
	if !lend && c.scratch.made {
		return
	}
	c.scratch = scratch{made: true, lent: lend}
	c.tmpfs(own("scratch"), plan.Scratch, "700", 0, picture.AttrBase|picture.AttrNoExec)
}

// attrsOf returns the mount attributes of p that the shown file system does not already have.
func attrsOf(p *picture.Part) uint64 {
	attrs := picture.AttrBase
	if !p.Write {
		attrs |= picture.AttrRO
	}
	if p.Noexec {
		attrs |= picture.AttrNoExec
	}
	return attrs
}

// Names of the files that a repair's plan uses, besides FileRoot.
const (
	FileUserNS  = attach.FileSpace + "user"
	FileMountNS = attach.FileSpace + "mnt"
)
