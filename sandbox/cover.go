package sandbox

// Mounts that hide or protect something: open_tree(2), move_mount(2), mount_setattr(2), rename(2).
//
// A mount point can be neither renamed nor removed, but every directory above it can. In a writable part each of these
// directories is therefore made a mount point of itself.

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
)

// pin makes a directory of the picture a mount point of itself, so that the task can neither rename nor remove it. What
// is mounted below the directory stays visible. A directory that is a mount point already stays as it is.
func (c *compilation) pin(from plan.From, dir string) {
	i := c.tree.index(dir)
	if i < 0 || c.tree.parts[i].target == dir {
		return
	}
	p := c.tree.parts[i]
	p.behind = c.tree.hostPath(dir)
	p.target, p.source, p.file, p.guard, p.absent = dir, p.behind, false, guardPin, !c.reachable(dir)
	c.cloneOnto(from, &p, 0)
	c.tree.insert(i+1, p)
}

// pinAbove pins each directory above path that the task could move away for good. On a tmpfs nothing outlives the run.
func (c *compilation) pinAbove(from plan.From, path string) {
	for i := 1; i < len(path); i++ {
		if path[i] != '/' {
			continue
		}
		if p := c.tree.at(path[:i]); p != nil && p.write && p.source != "" && !p.opaque {
			c.pin(from, path[:i])
		}
	}
}

// pinLink makes a symbolic link a mount point of itself: it leads where it led, and can be neither renamed nor removed.
func (c *compilation) pinLink(from plan.From, link, text string) {
	i := c.tree.index(link)
	p := c.tree.parts[i]
	p.behind = c.tree.hostPath(link)
	p.target, p.source, p.file, p.link, p.guard, p.absent = link, p.behind, true, text, guardPin, !c.reachable(link)
	c.cloneOnto(from, &p, 0)
	c.tree.insert(i+1, p)
}

// protect makes a path of the picture, and everything below it, read-only and immovable. A path that the sandbox does
// not show needs no protection.
func (c *compilation) protect(from plan.From, path string, rule policy.Pos) error {
	path, err := c.tree.resolve(path)
	if err != nil {
		return err
	}
	c.protectThing(from, path, rule, true)
	return nil
}

// protectThing is protect for a path without links. fixed is that of coverThing.
func (c *compilation) protectThing(from plan.From, path string, rule policy.Pos, fixed bool) {
	isDir, exists := c.tree.stat(path)
	if !exists || c.tree.at(path).opaque {
		return
	}
	if fixed {
		c.pinAbove(from, path)
	}
	if !c.tree.writableBelow(path) {
		return
	}
	i := c.tree.index(path)
	p := c.tree.parts[i]
	p.behind = c.tree.hostPath(path)
	p.target, p.source, p.file, p.write, p.rule = path, p.behind, !isDir, false, rule
	p.guard, p.absent, p.what = guardProtect, !c.reachable(path), "a protected part of "+p.what
	c.cloneOnto(from, &p, attrRO)
	for j := range c.tree.parts {
		if paths.Below(c.tree.parts[j].target, path) {
			c.tree.parts[j].write = false
		}
	}
	c.tree.insert(i+1, p)
}

// cloneOnto mounts what is at a part's target once more on the same place, with everything that is mounted below it.
func (c *compilation) cloneOnto(from plan.From, p *part, attrs uint64) {
	tree, gone := plan.R(plan.Tree), p.gone()
	c.openTarget(from, p)
	c.do(from, plan.Clone(plan.R(plan.Target), "", cloneTree|unix.AT_EMPTY_PATH).Into(plan.Tree).OrElse(gone))
	if attrs != 0 {
		c.do(from, plan.Setattr(tree, "", wholeMount, attrs, 0, 0).OrElse(gone))
	}
	c.moveToTarget(from, p)
	c.do(from, plan.CloseStep(tree).OrElse(gone))
}

// openTarget opens the place that a guard is mounted on. The path has no link any more: one that is there now was put
// there meanwhile. If the launcher saw that the task may not search a directory on the way, the child may not either,
// and the guard may be absent. It may also be absent if it covers what others can remove at any time.
func (c *compilation) openTarget(from plan.From, p *part) {
	flags, path := uint64(walk.OpenAny), p.target
	if p.link != "" {
		flags |= unix.O_NOFOLLOW
	}
	switch {
	case c.host.NoOpenat2:
		closed := 0
		if p.absent && !p.fleeting {
			closed = c.closedDirs(path)
		}
		c.openSteps(from, c.rootFD, path, flags, plan.Target, closed)
	default:
		open := plan.Open2(c.rootFD, path, flags, walk.ResolveInRoot|unix.RESOLVE_NO_SYMLINKS).Into(plan.Target)
		switch {
		case p.fleeting:
			open = open.OrElse(plan.ENOENT)
		case p.absent:
			open = open.OrElse(plan.EACCES)
		}
		c.do(from, open)
	}
}

// moveToTarget mounts a guard. Nothing can be mounted on what the host has replaced since it was opened (ENOENT): the
// launcher, which reads the mounts back, then mounts the guard on what has the name now (checkMounts).
func (c *compilation) moveToTarget(from plan.From, p *part) {
	target, replaced := plan.R(plan.Target), p.gone()
	if replaced == 0 && p.guard != 0 {
		replaced = plan.ENOENT
	}
	c.do(from,
		plan.Move(plan.R(plan.Tree), target, "", ontoFD).OrElse(replaced),
		plan.CloseStep(target).OrElse(p.gone()))
}

// gone is the error of a step that uses a descriptor which could not be opened; none if the part must be there.
func (p *part) gone() plan.Errno {
	if p.absent {
		return plan.EBADF
	}
	return 0
}

// reachable reports whether the task may search every directory of the host above a path of the picture.
func (c *compilation) reachable(path string) bool {
	for dir, _ := paths.Split(path); dir != "/"; dir, _ = paths.Split(dir) {
		if !c.searchable(dir) {
			return false
		}
	}
	return true
}

// searchable reports whether the task may search a directory of the picture.
func (c *compilation) searchable(dir string) bool {
	host := c.tree.hostPath(dir)
	if host == "" {
		return true
	}
	info, err := c.tree.lstat(host)
	return err == nil && c.mayDo(unix.X_OK, host, info)
}

// coverThing hides one path of the picture. fixed says that the rule names the path, not a pattern at any depth: then
// the directories above it are pinned. Above the matches of a pattern they stay as they are, but for those that the pattern
// names, since a pin breaks rename and rm -r there; the next run finds what has been moved.
//
// What does not exist cannot be covered without making it, and nothing is made on the host. The launcher covers the
// names of rules when they appear during the run (guards.go).
func (c *compilation) coverThing(from plan.From, target string, rule policy.Pos, fixed bool) error {
	target, err := c.tree.resolve(target)
	if err != nil {
		return err
	}
	isDir, exists := c.tree.stat(target)
	if !exists || c.tree.at(target).opaque {
		return nil
	}
	if target == "/" {
		return errors.New("the root cannot be hidden")
	}
	if c.hidden++; c.hidden > maxHidden {
		return errors.New("more than " + strconv.Itoa(maxHidden) + " matches")
	}
	if fixed {
		c.pinAbove(from, target)
	}
	p := part{target: target, file: !isDir, opaque: true, absent: !c.reachable(target) || c.closedInStill(target),
		guard: guardHide, behind: c.tree.hostPath(target),
		what: "hidden", rule: rule}
	if info, err := c.tree.lstat(p.behind); err == nil && info.Mode()&fs.ModeSocket != 0 && !p.absent {
		p.absent, p.fleeting = true, true
	}
	shown := c.liftedBelow(&p)
	if len(shown) > 0 {
		c.coverAround(from, &p, shown)
	} else {
		c.coverOnto(from, &p)
	}
	c.tree.add(p)
	for _, l := range shown {
		c.showLifted(l, target+l.host[len(p.behind):])
	}
	return nil
}

// closedInStill reports whether a path may be out of the child's reach because a read-only overlay shows it. To look up
// a directory in the topmost one, overlayfs reads its attributes with the child's rights, and reports EACCES to everybody
// if those do not suffice. The task has no right that the child lacks, so that it needs no cover then.
func (c *compilation) closedInStill(target string) bool {
	if p := c.tree.at(target); !p.still {
		return false
	}
	host := c.tree.hostPath(target)
	info, err := c.tree.lstat(host)
	return err == nil && !c.mayDo(unix.R_OK, host, info)
}

// coverOnto mounts a cover at a part's target.
func (c *compilation) coverOnto(from plan.From, p *part) {
	c.mountFromScratch(from, c.coverNode(!p.file), p)
}

func (c *compilation) mountFromScratch(from plan.From, name string, p *part) {
	if c.scratch.lent {
		c.do(from, plan.Move(plan.R(plan.Scratch), plan.CWD, "/", fromFD))
	}
	c.do(from, plan.Clone(plan.R(plan.Scratch), name, cloneOne).Into(plan.Tree))
	if c.scratch.lent {
		c.do(from, plan.Umount(".", unix.MNT_DETACH), plan.CloseStep(plan.R(plan.Scratch))) // "." is the topmost
	}
	c.do(from, plan.Setattr(plan.R(plan.Tree), "", unix.AT_EMPTY_PATH, attrRO|attrBase|attrNoExec, 0, 0))
	c.openTarget(from, p)
	c.moveToTarget(from, p)
	c.do(from, plan.CloseStep(plan.R(plan.Tree)))
}

// capsPastModes let a task open a file whatever its mode is.
const capsPastModes = 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH

// coverNode names the file or directory of the scratch file system that covers things, and makes both if they are not
// there. Without any permission nobody can open the file, unless the task keeps a capability that passes over modes:
// then the file is a device, which no task can open on a mount that is nodev. Anybody may make the device 0:0 (Linux
// 5.8).
func (c *compilation) coverNode(dir bool) string {
	c.emptyNodes()
	switch {
	case dir:
		return "dir"
	case c.keep&capsPastModes == 0:
		return "file"
	case !c.scratch.device:
		c.scratch.device = true
		c.do(own("scratch"), plan.MkcharStep(plan.R(plan.Scratch), "device", 0))
	}
	return "device"
}

// emptyNodes makes the file and the directory that cover things, without any permission.
func (c *compilation) emptyNodes() {
	if c.scratch.empty {
		return
	}
	c.scratch.empty = true
	c.do(own("scratch"),
		plan.MkfileStep(plan.R(plan.Scratch), "file", 0),
		plan.MkdirStep(plan.R(plan.Scratch), "dir", 0))
}

// index is the place in the picture of the part that a path belongs to, -1 before there is a root.
func (t *tree) index(path string) int {
	found := -1
	for dir := path; ; dir, _ = paths.Split(dir) {
		if i, ok := t.last[dir]; ok && i > found {
			found = i
		}
		if dir == "/" {
			return found
		}
	}
}

// insert puts a part at a place in the order of mounting. What is mounted after it, and lies below it, still covers it.
func (t *tree) insert(at int, p part) {
	t.parts = slices.Insert(t.parts, at, p)
	for target, i := range t.last {
		if i >= at {
			t.last[target] = i + 1
		}
	}
	t.last[p.target] = max(at, t.last[p.target])
}

// writableBelow reports whether a part that shows path, or lies below it, is writable.
func (t *tree) writableBelow(path string) bool {
	if t.at(path).write {
		return true
	}
	for i := range t.parts {
		if p := &t.parts[i]; p.write && paths.Below(p.target, path) && t.at(p.target) == p {
			return true
		}
	}
	return false
}

// replace shows a text in the place of a file.
func (c *compilation) replace(from plan.From, target, text string, rule policy.Pos) {
	p := part{target: target, file: true, text: &text, absent: !c.reachable(target),
		guard: guardHide, behind: c.tree.hostPath(target),
		what: "a copy without secrets", rule: rule}
	c.copyOnto(from, &p)
	c.tree.add(p)
}

// newFile are the flags that make a file and open it.
const newFile = unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY | unix.O_CLOEXEC

// copyOnto makes the file of a part that has a text, and mounts it.
func (c *compilation) copyOnto(from plan.From, p *part) {
	name := "file" + strconv.Itoa(c.scratch.files)
	c.scratch.files++
	c.do(from,
		plan.OpenStep(plan.R(plan.Scratch), name, newFile, 0o644).Into(plan.File),
		plan.WriteStep(plan.R(plan.File), *p.text),
		plan.CloseStep(plan.R(plan.File)))
	c.mountFromScratch(from, name, p)
}
