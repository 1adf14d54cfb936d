package cgroup

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Caller describes the caller. The caller's rights decide where a cgroup can be made.
type Caller struct {
	UID int
	PID int
}

// These are special values of policy.Limits.Cgroup, the key that chooses where the cgroups are made. Any other value is
// a path in the tree or the name of a slice.
const (
	atAuto    = "auto"
	atSystemd = "systemd"
)

// Choice is a decision about a sandbox's cgroups: where Make makes them, and with which limits.
type Choice struct {
	Kind    string // of the layout
	Lacking []Lack // the limits that are not available
	Wrong   *Lack  // what no host could do, because the value is wrong; nil if there is no such value
	dirs    []target
	unit    *Unit  // if not nil, systemd makes the v2 group
	slice   string // the slice in which systemd makes the group; "" for the default slice
	devices bool
}

// Lack is a limit that no cgroup can enforce here. Limit is its key in the profile's section limits, followed by the
// device or page size.
type Lack struct{ Limit, Why, Remedy string }

// target is a cgroup that Make makes.
type target struct {
	version     int
	parent      string
	controllers []string
	enable      []string // controllers that Make must enable in the parent
	leaf        bool     // the launcher must leave the parent before controllers can be enabled there
	settings    []setting
}

// Empty reports whether Make has no group to make.
func (c *Choice) Empty() bool { return len(c.dirs) == 0 && c.unit == nil }

// V2 reports whether the child starts, by clone3(2), in a group of the v2 tree.
func (c *Choice) V2() bool {
	return c.unit == nil && slices.ContainsFunc(c.dirs, func(t target) bool { return t.version == 2 })
}

// Where describes in words where the groups are made.
func (c *Choice) Where() string {
	if c.unit != nil {
		return "a transient scope of systemd"
	}
	var list []string
	for i := range c.dirs {
		switch t := &c.dirs[i]; {
		case t.version == 1:
			list = append(list, strings.Join(t.controllers, ",")+" in "+t.parent)
		case t.leaf:
			list = append(list, t.parent+", which the launcher leaves for a group in it")
		default:
			list = append(list, t.parent)
		}
	}
	if list == nil {
		return "no group can be made"
	}
	return "groups in " + strings.Join(list, ", ")
}

// V1 lists one controller of each v1 tree whose group the child joins.
func (c *Choice) V1() []string {
	var list []string
	for i := range c.dirs {
		if c.dirs[i].version == 1 {
			list = append(list, c.dirs[i].controllers[0])
		}
	}
	return list
}

// counts reports whether there is a group that counts processor time.
func (c *Choice) counts() bool {
	return c.unit != nil || slices.ContainsFunc(c.dirs, func(t target) bool { return t.version == 2 || slices.Contains(t.controllers, "cpuacct") })
}

// Guards reports whether the caller has to call Group.Guard, which denies devices.
func (c *Choice) Guards() bool { return c.devices }

// Unit reports whether systemd makes the group, around a child that already exists.
func (c *Choice) Unit() bool { return c.unit != nil }

func (c *Choice) lack(limit, why, remedy string) {
	if !slices.ContainsFunc(c.Lacking, func(l Lack) bool { return l.Limit == limit }) {
		c.Lacking = append(c.Lacking, Lack{limit, why, remedy})
	}
}

// controllers is the remedy if the user's systemd manager does not have a controller.
const controllers = "systemctl edit user@.service, with [Service] Delegate=cpu cpuset io memory pids, and log in again"

// named returns the path in the tree that the profile names, or "" if the profile names none.
func (d *finder) named() string {
	if strings.HasPrefix(d.at, "/") {
		return d.at
	}
	return ""
}

// wrongPath records that a group which the profile names does not exist, or that no group can be made in it. The value
// must be the path of the group in the tree, but people also type the path of its directory.
func (d *finder) wrongPath(why, remedy string) {
	for _, mount := range append(d.l.mounts(), "/sys/fs/cgroup") {
		if rest, ok := strings.CutPrefix(d.at, mount+"/"); ok {
			remedy = "the path begins at the root of the tree: limits.cgroup: /" + rest + " (--cgroup-parent /" + rest + ")"
			break
		}
	}
	if d.c.Wrong == nil {
		d.c.Wrong = &Lack{"cgroup", why, remedy}
	}
}

// checkPath records an error if the profile names a group that no tree has.
func (d *finder) checkPath() {
	path := d.named()
	if path == "" {
		return
	}
	dir := ""
	for _, mount := range d.l.mounts() {
		dir = strings.TrimSuffix(mount+path, "/")
		if _, err := d.f.Stat(dir + "/cgroup.procs"); err == nil {
			return
		}
	}
	d.wrongPath(noGroup(dir))
}

// noGroup returns what is wrong with a path that leads to no group, and the remedy.
func noGroup(dir string) (why, remedy string) {
	return dir + ": there is no such cgroup", "name one that exists: limits.cgroup (--cgroup-parent), or make it with mkdir " + dir
}

// Choose decides where the cgroups are made. at is the value of policy.Limits.Cgroup. Choice.Lacking lists the limits
// that are not available, and the rest of the choice leaves them out.
func Choose(f Files, l *Layout, want *Limits, at string, who Caller) *Choice {
	c := &Choice{Kind: l.Kind(), devices: want.Devices}
	find := finder{f: f, l: l, at: at, who: who, c: c}
	s1, lacking1 := want.settings1()
	var two, one []setting
	for _, s := range want.settings2() {
		switch t := l.tree(s.controller); {
		case t == nil:
			c.lack(s.limit, "this kernel has no "+s.controller+" controller", "one with CONFIG_CGROUPS and the controller, not switched off by cgroup_disable=")
		case t.Version == 2:
			two = append(two, s)
		default:
			if !slices.ContainsFunc(one, func(o setting) bool { return o.limit == s.limit }) { // a limit may be two files in v2
				one = append(one, s1of(s1, s.limit)...)
			}
			for _, u := range lacking1 {
				if u.limit == s.limit {
					c.lack(u.limit, u.why, u.remedy)
				}
			}
		}
	}
	count2 := want.CPUTime && l.tree("cpuacct") == nil // every v2 group counts processor time
	if want.CPUTime && !count2 {
		one = append(one, setting{limit: "cpu-time", controller: "cpuacct"})
	}
	find.v2(two, at != "" && len(one) == 0 || count2)
	find.v1(one)
	if find.checkPath(); c.Wrong != nil {
		return c
	}
	if want.CPUTime && !c.counts() {
		c.lack("cpu-time", "there is no group that counts processor time", find.delegate())
	}
	if at != "" && c.Empty() && len(c.Lacking) == 0 {
		c.lack("cgroup", "nothing is limited that takes a group, and on "+c.Kind+" none is made for its own sake", "set a limit too, such as --pids 1000; "+boot2)
	}
	return c
}

func s1of(list []setting, limit string) (of []setting) {
	for _, s := range list {
		if s.limit == limit {
			of = append(of, s)
		}
	}
	return of
}

// finder looks for groups in which the sandbox's groups can be made.
type finder struct {
	f   Files
	l   *Layout
	at  string
	who Caller
	c   *Choice
}

// v2 finds a parent group in the v2 tree, or lets systemd make the group. If there are no settings, v2 does nothing,
// unless anyway is true.
func (d *finder) v2(settings []setting, anyway bool) {
	i := slices.IndexFunc(d.l.Trees, func(t Tree) bool { return t.Version == 2 })
	settings = uniqueSettings(settings)
	if i < 0 || len(settings) == 0 && (!anyway || d.l.Kind() != "v2") {
		return
	}
	tree := &d.l.Trees[i]
	var need []string
	for _, s := range settings {
		if !slices.Contains(need, s.controller) {
			need = append(need, s.controller)
		}
	}
	if len(need) == 0 { // there are no limits, so the group is made for what these controllers count
		need = []string{"memory", "pids", "cpu", "io"}
	}
	if d.at == atSystemd || strings.HasSuffix(d.at, ".slice") && d.at[0] != '/' {
		d.unit(settings, need)
		return
	}
	if own, ok := d.ownUnit(tree, need); ok {
		d.take(&own, settings)
		return
	}
	var best seat
	for _, dir := range d.parents(tree) {
		if s := d.try(tree, dir, need); s.better(&best) {
			best = s
		}
	}
	if (d.at == "" || d.at == atAuto) && d.preferUnit(tree, &best, need) {
		d.unit(settings, need)
		return
	}
	d.take(&best, settings)
}

// take makes a target in the best seat, which is the group that was found for it. It records a Lack for each setting
// whose controller is missing in the seat.
func (d *finder) take(best *seat, settings []setting) {
	t := target{version: 2, parent: best.dir, controllers: best.have, enable: best.enable, leaf: best.leaf}
	for _, s := range settings {
		if slices.Contains(best.have, s.controller) {
			t.settings = append(t.settings, s)
			continue
		}
		why, remedy := best.why, best.remedy
		if why == "" {
			why, remedy = "the controller "+s.controller+" is not delegated to "+best.dir, d.undelegated(best.dir)
		}
		d.c.lack(s.limit, why, remedy)
	}
	if len(settings) == 0 && !best.usable {
		d.c.lack(d.sole(), best.why, best.remedy)
	} else if len(t.settings) > 0 || len(settings) == 0 {
		d.c.dirs = append(d.c.dirs, t)
	}
}

// sole returns the limit to name in a Lack if a group has no settings and cannot be made.
func (d *finder) sole() string {
	if d.at == "" {
		return "cpu-time"
	}
	return "cgroup"
}

func uniqueSettings(list []setting) (out []setting) {
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// parents lists the groups in which the new group could be made. If the profile names a group, the list has only that
// group. Otherwise it has the caller's own group and the groups above it, the nearest first.
func (d *finder) parents(t *Tree) []string {
	if d.at != "" && d.at != atAuto {
		return []string{strings.TrimSuffix(t.Mount+d.at, "/")}
	}
	if t.Own == "" {
		return []string{t.Mount}
	}
	var list []string
	for dir := t.Own; len(dir) > len(t.Mount); dir = dir[:strings.LastIndexByte(dir, '/')] {
		list = append(list, dir)
	}
	return append(list, t.Mount)
}

// seat is a group in which the sandbox's group could be made, with the controllers that it would have there.
type seat struct {
	dir    string
	have   []string // controllers that the new group would have: those already enabled, and those in enable
	served int      // how many of the needed controllers are among them
	enable []string
	leaf   bool
	usable bool

	why, remedy string // why is "" if the seat can be used and has all needed controllers
}

// better reports whether s is preferable to best. A usable seat is better than an unusable one. Of two usable seats,
// the better one has more of the needed controllers. If both have as many, nothing has to be enabled in the better one.
// If that is equal too, the launcher need not leave the better one. If all of this is equal, best stays, because it is
// nearer to the caller.
func (s *seat) better(best *seat) bool {
	switch {
	case best.dir == "":
		return true
	case s.usable != best.usable:
		return s.usable
	case s.served != best.served:
		return s.served > best.served
	case (len(s.enable) == 0) != (len(best.enable) == 0):
		return len(s.enable) == 0
	}
	return best.leaf && !s.leaf
}

// try examines a group as a seat. A group other than the root may not have both processes and children with controllers
// (cgroup-v2.rst, "No Internal Process Constraint"). If the launcher is the only process in the group, it can move into
// a new group next to the sandbox's. cordon never moves any other process.
func (d *finder) try(t *Tree, dir string, need []string) seat {
	s := seat{dir: dir}
	refuse := func(why, remedy string) seat {
		s.why, s.remedy = why, remedy
		return s
	}
	if _, err := d.f.Stat(dir + "/cgroup.procs"); err != nil {
		if d.named() != "" {
			d.wrongPath(noGroup(dir))
		}
		return refuse(noGroup(dir))
	}
	if err := d.writable(dir); err != nil {
		if err == unix.EROFS {
			return refuse(dir+" is read-only", "mount it read-write; containers are given that by their engine")
		}
		if d.who.UID == 0 {
			return refuse(dir+" is not writable: "+err.Error(), "name a group that is: limits.cgroup (--cgroup-parent)")
		}
		return refuse(dir+" is not writable: it is not delegated to this user", d.delegate())
	}
	kind := d.text(dir + "/cgroup.type")
	if kind != "" && kind != "domain" {
		why, remedy := dir+" is of type "+kind, "name one of type domain: limits.cgroup (--cgroup-parent)"
		if d.named() != "" {
			d.wrongPath(why, remedy)
		}
		return refuse(why, remedy)
	}
	s.usable = true
	on := strings.Fields(d.text(dir + "/cgroup.subtree_control"))
	s.have = on
	var off, missing []string
	for _, c := range need {
		if slices.Contains(on, c) {
			s.served++
		} else {
			off = append(off, c)
		}
	}
	if len(off) == 0 {
		return s
	}
	for can := strings.Fields(d.text(dir + "/cgroup.controllers")); len(off) > 0; off = off[1:] {
		if slices.Contains(can, off[0]) {
			missing = append(missing, off[0])
		}
	}
	if len(missing) == 0 {
		return s
	}
	enter, leaf, why, remedy := d.room(t, dir, kind == "")
	if !enter {
		s.why, s.remedy = why, remedy
		return s
	}
	s.enable, s.leaf = missing, leaf
	s.have, s.served = append(slices.Clone(on), missing...), s.served+len(missing)
	return s
}

func (d *finder) writable(dir string) error {
	for _, path := range [...]string{dir, dir + "/cgroup.procs"} {
		if err := d.f.Access(path, unix.W_OK); err != nil {
			return err
		}
	}
	return nil
}

// room reports whether controllers can be enabled in a group, and whether the launcher must leave the group first. The
// root group may have processes and controllers at once. If controllers cannot be enabled, why and remedy say so.
func (d *finder) room(t *Tree, dir string, root bool) (ok, leaf bool, why, remedy string) {
	if err := d.f.Access(dir+"/cgroup.subtree_control", unix.W_OK); err != nil {
		return false, false, dir + ": no controller can be switched on: " + err.Error(), d.delegate()
	}
	if root {
		return true, false, "", ""
	}
	procs := strings.Fields(d.text(dir + "/cgroup.procs"))
	switch {
	case len(procs) == 0:
		return true, false, "", ""
	case dir == t.Own && len(procs) == 1 && procs[0] == strconv.Itoa(d.who.PID):
		return true, true, "", ""
	}
	return false, false, dir + ": processes are in it, and then it gives no controllers to groups below it",
		"run cordon as the only process of a delegated group: " + d.delegate()
}

func (d *finder) text(path string) string {
	b, _ := d.f.Read(path, 4096) // a file that cannot be read counts as empty
	return strings.TrimSpace(string(b))
}
