package sandbox

import (
	"slices"
	"strings"
)

// doctorCgroups is what this process can see of cgroups(7).
type doctorCgroups struct {
	layout string   // "v2", "v1", "hybrid" or ""
	dir    string   // v2: the own group's directory
	v1     []string // v1: mount points of the hierarchies
}

// cgroups reads the layout from the mount table and the own group from /proc/self/cgroup.
func (m *Machine) cgroups() doctorCgroups {
	var v doctorCgroups
	mount := ""
	s, _ := m.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(s) {
		before, after, found := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if !found || len(f) < 5 {
			continue
		}
		switch kind, _, _ := strings.Cut(after, " "); kind {
		case "cgroup2":
			mount = f[4]
		case "cgroup":
			v.v1 = append(v.v1, f[4])
		}
	}
	switch {
	case mount != "" && len(v.v1) > 0:
		v.layout = "hybrid"
	case mount != "":
		v.layout = "v2"
	case len(v.v1) > 0:
		v.layout = "v1"
	}
	if mount != "" {
		v.dir = strings.TrimSuffix(mount+m.ownCgroup(), "/")
	}
	return v
}

// ownCgroup is this process's path in the v2 hierarchy.
func (m *Machine) ownCgroup() string {
	s, _ := m.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(s) {
		if p, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(p)
		}
	}
	return "/"
}

func probeCgroup(m *Machine) Finding {
	v := m.cgroups()
	switch v.layout {
	case "":
		return lacking("not mounted", "no cgroup file system is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
	case "v1", "hybrid":
		return lacking(v.layout+": "+countOf(len(v.v1), "v1 mount"), "the controllers are bound to v1, which cannot be delegated safely",
			"boot with systemd.unified_cgroup_hierarchy=1, or cgroup_no_v1=all")
	}
	return probeCgroup2(m, v)
}

func probeCgroup2(m *Machine, v doctorCgroups) Finding {
	have := strings.Fields(m.read(v.dir + "/cgroup.controllers"))
	found := "v2, " + v.dir + ", controllers: " + orAbsent(strings.Join(have, " "))
	if !m.Writable(v.dir) || !m.Writable(v.dir+"/cgroup.procs") {
		return lacking(found+", not writable", "the own group is not delegated to this user",
			"systemd-run --user --scope -p Delegate=yes cordon run …; in a service: Delegate=yes")
	}
	for _, c := range [...]string{"memory", "pids", "cpu"} {
		if !slices.Contains(have, c) {
			return lacking(found+", writable", "the controller "+c+" is not delegated",
				"systemctl edit user@.service, with [Service] Delegate=cpu cpuset io memory pids, and log in again")
		}
	}
	return fine(found + ", writable")
}
