package cgroup

import (
	"encoding/binary"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// fakeFiles is a machine, as the texts of its files. If there is a "!" before a path, the file cannot be written.
type fakeFiles map[string]string

func (f fakeFiles) Stat(path string) (fs.FileInfo, error) {
	m := fstest.MapFS{}
	for name, text := range f {
		m[strings.TrimPrefix(name, "/")] = &fstest.MapFile{Data: []byte(text)}
	}
	return m.Stat(strings.TrimPrefix(path, "/"))
}

func (f fakeFiles) Read(path string, n int) ([]byte, error) {
	text, ok := f[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: unix.ENOENT}
	}
	return []byte(text[:min(n, len(text))]), nil
}

func (f fakeFiles) Access(path string, _ uint32) error {
	if text, ok := f["!"+path]; ok {
		if text == "ro" {
			return unix.EROFS
		}
		return unix.EACCES
	}
	if _, err := f.Stat(path); err != nil {
		return unix.ENOENT
	}
	return nil
}

// Xattr returns an attribute of a file. In fakeFiles the attribute's path consists of "@", the file's path and the
// attribute's name.
func (f fakeFiles) Xattr(path, name string) string { return f["@"+path+" "+name] }

// group adds the files of a v2 group.
func (f fakeFiles) group(dir, kind, on, procs string) fakeFiles {
	f[dir+"/cgroup.controllers"], f[dir+"/cgroup.subtree_control"], f[dir+"/cgroup.procs"] = "cpuset cpu io memory hugetlb pids\n", on, procs
	if kind != "" {
		f[dir+"/cgroup.type"] = kind + "\n"
	}
	return f
}

func (f fakeFiles) locked(dirs ...string) fakeFiles {
	for _, dir := range dirs {
		f["!"+dir], f["!"+dir+"/cgroup.procs"], f["!"+dir+"/cgroup.subtree_control"] = "", "", ""
	}
	return f
}

func (f fakeFiles) with(path, text string) fakeFiles { f[path] = text; return f }

const (
	mount2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	mount1 = "25 20 0:22 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n" +
		"26 20 0:23 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n" +
		"27 20 0:24 / /sys/fs/cgroup/freezer rw shared:9 - cgroup cgroup rw,freezer\n" +
		"28 20 0:25 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n"
	hybrid = "31 20 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, mounts, own string
		kind              string
		want              []Tree
	}{
		{"nothing", "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "", "", nil},
		{"v2", mount2, "0::/user.slice/x\n", "v2", []Tree{{2, []string{"memory", "pids"}, "/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/x"}}},
		{"v2, the root", mount2, "0::/\n", "v2", []Tree{{2, []string{"memory", "pids"}, "/sys/fs/cgroup", "/sys/fs/cgroup"}}},
		{"outside of the cgroup namespace", mount2, "0::/../x\n", "v2", []Tree{{2, []string{"memory", "pids"}, "/sys/fs/cgroup", ""}}},
		{"mounted twice", mount2 + strings.ReplaceAll(mount2, "/sys/fs/cgroup", "/mnt"), "0::/\n", "v2",
			[]Tree{{2, []string{"memory", "pids"}, "/sys/fs/cgroup", "/sys/fs/cgroup"}}},
		{"a part of the tree", strings.Replace(mount2, " / ", " /docker/a ", 1), "0::/docker/a/b\n", "v2",
			[]Tree{{2, []string{"memory", "pids"}, "/sys/fs/cgroup", "/sys/fs/cgroup/b"}}},
		{"another part of the tree", strings.Replace(mount2, " / ", " /docker/a ", 1), "0::/x\n", "v2",
			[]Tree{{2, []string{"memory", "pids"}, "/sys/fs/cgroup", ""}}},
		{"hybrid", mount1 + hybrid, "4:memory:/m\n3:cpu,cpuacct:/\n2:freezer:/\n1:name=systemd:/\n0::/u\n", "hybrid", []Tree{
			{1, []string{"memory"}, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/m"},
			{1, []string{"cpu", "cpuacct"}, "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"},
			{1, []string{"freezer"}, "/sys/fs/cgroup/freezer", "/sys/fs/cgroup/freezer"},
			{1, []string{"name=systemd"}, "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/systemd"},
			{2, []string{"hugetlb"}, "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/u"},
		}},
		{"v1", mount1, "4:memory:/m\n", "v1", []Tree{
			{1, []string{"memory"}, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/m"},
			{1, []string{"cpu", "cpuacct"}, "/sys/fs/cgroup/cpu,cpuacct", ""},
			{1, []string{"freezer"}, "/sys/fs/cgroup/freezer", ""},
			{1, []string{"name=systemd"}, "/sys/fs/cgroup/systemd", ""},
		}},
	} {
		l, err := Read(fakeFiles{"/proc/self/mountinfo": c.mounts, "/proc/self/cgroup": c.own,
			"/sys/fs/cgroup/cgroup.controllers": "memory pids\n", "/sys/fs/cgroup/unified/cgroup.controllers": "hugetlb\n"})
		if err != nil || l.Kind() != c.kind || !reflect.DeepEqual(l.Trees, c.want) {
			t.Errorf("%s: %s %+v, %v", c.name, l.Kind(), l.Trees, err)
		}
	}
	if _, err := Read(fakeFiles{}); err == nil {
		t.Error("no /proc is no error")
	}
}

// FuzzRead checks that Read returns a layout for every mount table, because somebody else may influence the table.
func FuzzRead(f *testing.F) {
	f.Add(mount1+mount2+hybrid, "4:memory:/m\n0::/u\n")
	f.Add("1 - cgroup", "::")
	f.Fuzz(func(t *testing.T, mounts, own string) {
		l, err := Read(fakeFiles{"/proc/self/mountinfo": mounts, "/proc/self/cgroup": own})
		if err != nil {
			t.Fatal(err)
		}
		for _, tree := range l.Trees {
			if tree.Own != "" && !strings.HasPrefix(tree.Own, tree.Mount) {
				t.Errorf("%+v", tree)
			}
		}
	})
}

func mib(n int64) *int64 { n <<= 20; return &n }

// session returns a user's machine with systemd, on which the launcher is in a session together with other processes.
func session() fakeFiles {
	f := fakeFiles{"/proc/self/mountinfo": mount2, "/proc/self/cgroup": "0::/user.slice/session.scope\n"}
	f.group("/sys/fs/cgroup", "", "cpu memory pids\n", "").group("/sys/fs/cgroup/user.slice", "domain", "memory pids\n", "")
	return f.group("/sys/fs/cgroup/user.slice/session.scope", "domain", "", "1\n77\n").
		locked("/sys/fs/cgroup", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup/user.slice/session.scope")
}

// delegated returns the machine of session, but here the launcher is alone in a scope that was delegated to its user.
func delegated() fakeFiles {
	f := session().with("/proc/self/cgroup", "0::/user.slice/app.slice/run.scope\n")
	f.group("/sys/fs/cgroup/user.slice/app.slice", "domain", "memory pids\n", "")
	return f.group("/sys/fs/cgroup/user.slice/app.slice/run.scope", "domain", "", "77\n")
}

func v1Files() fakeFiles {
	f := fakeFiles{"/proc/self/mountinfo": mount1 + hybrid, "/proc/self/cgroup": "4:memory:/m\n3:cpu,cpuacct:/\n2:freezer:/\n1:name=systemd:/\n0::/\n",
		"/sys/fs/cgroup/unified/cgroup.controllers": "hugetlb\n"}
	for _, dir := range []string{"memory/m", "cpu,cpuacct", "freezer", "unified"} {
		f["/sys/fs/cgroup/"+dir+"/cgroup.procs"] = "1\n"
	}
	f["/sys/fs/cgroup/unified/cgroup.subtree_control"] = ""
	return f
}

func TestChoose(t *testing.T) {
	all := &Limits{Memory: mib(64), PIDs: 10}
	const user, root = 1000, 0
	for _, c := range []struct {
		name string
		f    fakeFiles
		want *Limits
		at   string
		uid  int
		dirs []string // "version parent [controllers switched on] leaf"
		lack []string // "limit: why"
	}{
		{"a place for a group that nothing needs", fakeFiles{"/proc/self/cgroup": "1:pids:/\n",
			"/proc/self/mountinfo": "30 1 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"}, &Limits{}, "auto", root, nil,
			[]string{"cgroup: nothing is limited that takes a group, and on v1 none is made for its own sake"}},
		{"root in a session goes to the nearest group that gives the controllers", sessionOfRoot(), all, "", root,
			[]string{"2 /sys/fs/cgroup/user.slice"}, nil},
		{"and higher for what that does not give", sessionOfRoot(), &Limits{CPUs: 1}, "", root, []string{"2 /sys/fs/cgroup"}, nil},
		{"switching on where nobody gives it", sessionOfRoot(), &Limits{CPUSet: "0"}, "", root, []string{"2 /sys/fs/cgroup/user.slice [cpuset]"}, nil},
		{"unless systemd manages that", sessionOfRoot().with("/run/systemd/system/x", ""), &Limits{CPUSet: "0"}, "", root, []string{"2 systemd"}, nil},
		{"nor where systemd has its units", sessionOfRoot().with("/run/systemd/system/x", ""), all, "", root, []string{"2 systemd"}, nil},
		{"nor a user there", delegated().with("/run/systemd/system/x", "").with("/run/user/1000/bus", ""), all, "auto", user, []string{"2 systemd"}, nil},
		{"but in a group that was delegated", delegated().with("/run/systemd/system/x", "").with("/run/user/1000/bus", "").
			locked("/sys/fs/cgroup/user.slice/app.slice"), all, "", user, []string{"2 /sys/fs/cgroup/user.slice/app.slice/run.scope [memory pids] leaf"}, nil},
		{"and in a unit that is marked as delegated, whatever is above it", delegated().with("/run/systemd/system/x", "").
			with("/run/user/1000/bus", "").with("@/sys/fs/cgroup/user.slice/app.slice/run.scope user.delegate", "1"), all, "", user,
			[]string{"2 /sys/fs/cgroup/user.slice/app.slice/run.scope [memory pids] leaf"}, nil},
		{"as root too", delegated().with("/run/systemd/system/x", "").
			with("@/sys/fs/cgroup/user.slice/app.slice/run.scope trusted.delegate", "1"), all, "", root,
			[]string{"2 /sys/fs/cgroup/user.slice/app.slice/run.scope [memory pids] leaf"}, nil},
		{"unless others are in it", delegated().with("/run/systemd/system/x", "").
			with("/sys/fs/cgroup/user.slice/app.slice/run.scope/cgroup.procs", "77\n78\n").
			with("@/sys/fs/cgroup/user.slice/app.slice/run.scope trusted.delegate", "1"), all, "", root, []string{"2 systemd"}, nil},
		{"a user in a session", session(), all, "", user, nil,
			[]string{"memory: /sys/fs/cgroup/user.slice/session.scope is not writable: it is not delegated to this user",
				"pids: /sys/fs/cgroup/user.slice/session.scope is not writable: it is not delegated to this user"}},
		{"with a manager", session().with("/run/systemd/system/x", "").with("/run/user/1000/bus", ""), all, "", user, []string{"2 systemd"}, nil},
		{"without its bus", session().with("/run/systemd/system/x", ""), &Limits{PIDs: 1}, "", user, nil,
			[]string{"pids: /sys/fs/cgroup/user.slice/session.scope is not writable: it is not delegated to this user"}},
		{"asked for", session().with("/run/systemd/system/x", ""), all, "ci.slice", user, []string{"2 systemd"}, nil},
		{"asked for where there is none", session(), all, "systemd", user, nil, []string{"memory: systemd does not run here", "pids: systemd does not run here"}},
		{"a delegated scope: beside it", delegated(), all, "auto", user, []string{"2 /sys/fs/cgroup/user.slice/app.slice"}, nil},
		{"a delegated scope alone: leaving it", delegated().locked("/sys/fs/cgroup/user.slice/app.slice"), all, "", user,
			[]string{"2 /sys/fs/cgroup/user.slice/app.slice/run.scope [memory pids] leaf"}, nil},
		{"with others in it: never moving them",
			delegated().locked("/sys/fs/cgroup/user.slice/app.slice").with("/sys/fs/cgroup/user.slice/app.slice/run.scope/cgroup.procs", "77\n78\n"), all, "", user,
			nil, []string{"memory: /sys/fs/cgroup/user.slice/app.slice/run.scope: processes are in it, and then it gives no controllers to groups below it",
				"pids: /sys/fs/cgroup/user.slice/app.slice/run.scope: processes are in it, and then it gives no controllers to groups below it"}},
		{"a controller that was not delegated", delegated().with("/sys/fs/cgroup/user.slice/app.slice/cgroup.controllers", "memory pids\n").
			with("/sys/fs/cgroup/user.slice/app.slice/run.scope/cgroup.controllers", "memory pids\n"), &Limits{PIDs: 1, CPUs: 1}, "", user,
			[]string{"2 /sys/fs/cgroup/user.slice/app.slice"}, []string{"cpus: the controller cpu is not delegated to /sys/fs/cgroup/user.slice/app.slice"}},
		{"a path", delegated().group("/sys/fs/cgroup/ci/jobs", "domain", "", ""), all, "/ci/jobs", user, []string{"2 /sys/fs/cgroup/ci/jobs [memory pids]"}, nil},
		{"a path that is not there", delegated(), &Limits{PIDs: 1}, "/ci", user, nil, []string{"wrong: cgroup: /sys/fs/cgroup/ci: there is no such cgroup", "pids: /sys/fs/cgroup/ci: there is no such cgroup"}},
		{"the path of a directory", delegated(), &Limits{PIDs: 1}, "/sys/fs/cgroup/ci", user, nil,
			[]string{"wrong: cgroup: /sys/fs/cgroup/sys/fs/cgroup/ci: there is no such cgroup", "pids: /sys/fs/cgroup/sys/fs/cgroup/ci: there is no such cgroup"}},
		{"a path that is not there, and no limit", sessionOfRoot(), &Limits{}, "/ci", root, nil,
			[]string{"wrong: cgroup: /sys/fs/cgroup/ci: there is no such cgroup", "cgroup: /sys/fs/cgroup/ci: there is no such cgroup"}},
		{"a threaded group", delegated().group("/sys/fs/cgroup/ci", "threaded", "", ""), &Limits{PIDs: 1}, "/ci", user, nil,
			[]string{"wrong: cgroup: /sys/fs/cgroup/ci is of type threaded", "pids: /sys/fs/cgroup/ci is of type threaded"}},
		{"a read-only tree", fakeFiles{"/proc/self/mountinfo": mount2, "/proc/self/cgroup": "0::/\n", "!/sys/fs/cgroup": "ro"}.group("/sys/fs/cgroup", "", "", ""),
			&Limits{PIDs: 1}, "", root, nil, []string{"pids: /sys/fs/cgroup is read-only"}},
		{"no such controller", fakeFiles{"/proc/self/mountinfo": mount2, "/proc/self/cgroup": "0::/\n"}.group("/sys/fs/cgroup", "", "", "").
			with("/sys/fs/cgroup/cgroup.controllers", "cpu\n"), all, "", root, nil,
			[]string{"memory: this kernel has no memory controller", "pids: this kernel has no pids controller"}},
		{"for its own sake", sessionOfRoot(), &Limits{}, "auto", root, []string{"2 /sys/fs/cgroup/user.slice [cpu io]"}, nil},
		{"for its own sake, as a user", session(), &Limits{}, "auto", user, nil,
			[]string{"cgroup: /sys/fs/cgroup/user.slice/session.scope is not writable: it is not delegated to this user"}},
		{"for nothing", sessionOfRoot(), &Limits{}, "", root, nil, nil},
		{"hybrid", v1Files(), &Limits{Memory: mib(1), CPUs: 2}, "", root,
			[]string{"1 /sys/fs/cgroup/memory/m", "1 /sys/fs/cgroup/cpu,cpuacct", "1 /sys/fs/cgroup/freezer"}, nil},
		{"hybrid, a controller of v2", v1Files(), &Limits{Hugetlb: []Hugetlb{{2 << 20, 0}}}, "", root, []string{"2 /sys/fs/cgroup/unified [hugetlb]"}, nil},
		{"hybrid, of both", v1Files(), &Limits{Memory: mib(1), Hugetlb: []Hugetlb{{2 << 20, 0}}}, "", root,
			[]string{"2 /sys/fs/cgroup/unified [hugetlb]", "1 /sys/fs/cgroup/memory/m", "1 /sys/fs/cgroup/freezer"}, nil},
		{"hybrid, a user", v1Files().locked("/sys/fs/cgroup/memory/m"), &Limits{Memory: mib(1)}, "", user, []string{"1 /sys/fs/cgroup/freezer"},
			[]string{"memory: /sys/fs/cgroup/memory/m is not writable: cgroup v1 is not delegated to users"}},
		{"hybrid, what v1 does not have", v1Files(), &Limits{MemoryHigh: mib(1), OOMGroup: true, Swap: mib(1), PIDs: 1}, "", root, nil,
			[]string{"memory-high: cgroup v1 has nothing like it", "swap: cgroup v1 bounds memory and swap together", "oom-group: cgroup v1 has nothing like it",
				"pids: this kernel has no pids controller"}},
		{"hybrid, systemd", v1Files(), &Limits{Memory: mib(1)}, "systemd", root, nil, []string{"memory: scopes of systemd need cgroup v2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := Read(c.f)
			if err != nil {
				t.Fatal(err)
			}
			ch := Choose(c.f, l, c.want, c.at, Caller{UID: c.uid, PID: 77})
			var dirs, lack []string
			if w := ch.Wrong; w != nil {
				lack = append(lack, "wrong: "+w.Limit+": "+w.Why)
			}
			for _, d := range ch.dirs {
				text := string(rune('0'+d.version)) + " " + d.parent
				if ch.unit != nil {
					text += "systemd"
				}
				if len(d.enable) > 0 {
					text += " [" + strings.Join(d.enable, " ") + "]"
				}
				if d.leaf {
					text += " leaf"
				}
				dirs = append(dirs, text)
			}
			for _, x := range ch.Lacking {
				if x.Remedy == "" {
					t.Errorf("%s has no remedy", x.Limit)
				}
				lack = append(lack, x.Limit+": "+x.Why)
			}
			if len(ch.dirs) == 1 && ch.dirs[0].version == 1 && len(ch.dirs[0].settings) == 0 && len(lack) > 0 {
				dirs = dirs[:1] // a freezer alone is made where something lacks: harmless
			}
			if !slices.Equal(dirs, c.dirs) || !slices.Equal(lack, c.lack) {
				t.Errorf("got  %q %q\nwant %q %q", dirs, lack, c.dirs, c.lack)
			}
		})
	}
}

func sessionOfRoot() fakeFiles {
	f := session()
	for name := range f {
		if name[0] == '!' {
			delete(f, name)
		}
	}
	return f
}

func TestSettings(t *testing.T) {
	l := &Limits{Memory: mib(1), MemoryHigh: mib(1), Swap: new(int64), OOMGroup: true, CPUs: 1.5, CPUWeight: 50, CPUSet: "3,0-1,2", PIDs: 9, IOWeight: 200,
		IO: []IOMax{{"/dev/sda", 8, 0, [4]int64{1024, 0, 0, 7}}}, Hugetlb: []Hugetlb{{2 << 20, 3 << 20}, {1 << 30, 0}}}
	var two, one []string
	for _, s := range l.settings2() {
		two = append(two, s.limit+"="+s.controller+" "+s.file+" "+s.value+"|"+s.back)
	}
	want2 := []string{"memory=memory memory.max 1048576|1048576", "memory-high=memory memory.high 1048576|1048576", "swap=memory memory.swap.max 0|0",
		"oom-group=memory memory.oom.group 1|", "cpus=cpu cpu.max 150000 100000|", "cpu-weight=cpu cpu.weight 50|", "cpuset=cpuset cpuset.cpus 3,0-1,2|0-3",
		"pids=pids pids.max 9|", "io /dev/sda=io io.max 8:0 rbps=1024 wbps=max riops=max wiops=7|", "io-weight=io io.weight 200|default 200",
		"hugetlb 2MB=hugetlb hugetlb.2MB.max 3145728|2097152", "hugetlb 2MB=hugetlb hugetlb.2MB.rsvd.max 3145728|2097152",
		"hugetlb 1GB=hugetlb hugetlb.1GB.max 0|0", "hugetlb 1GB=hugetlb hugetlb.1GB.rsvd.max 0|0"}
	if !slices.Equal(two, want2) {
		t.Errorf("v2: got\n%s\nwant\n%s", strings.Join(two, "\n"), strings.Join(want2, "\n"))
	}
	settings, lack := l.settings1()
	for _, s := range settings {
		one = append(one, s.limit+"="+s.controller+" "+s.file+" "+s.value+"|"+s.back)
	}
	want1 := []string{"memory=memory memory.limit_in_bytes 1048576|1048576", "swap=memory memory.memsw.limit_in_bytes 1048576|1048576",
		"cpus=cpu cpu.cfs_period_us 100000|", "cpus=cpu cpu.cfs_quota_us 150000|", "cpu-weight=cpu cpu.shares 512|", "cpuset=cpuset cpuset.cpus 3,0-1,2|0-3",
		"pids=pids pids.max 9|", "io /dev/sda=io blkio.throttle.read_bps_device 8:0 1024|", "io /dev/sda=io blkio.throttle.write_iops_device 8:0 7|",
		"io-weight=io blkio.bfq.weight 200|", "hugetlb 2MB=hugetlb hugetlb.2MB.limit_in_bytes 3145728|2097152", "hugetlb 1GB=hugetlb hugetlb.1GB.limit_in_bytes 0|0"}
	if !slices.Equal(one, want1) || len(lack) != 2 {
		t.Errorf("v1: got\n%s\nwant\n%s\n%v", strings.Join(one, "\n"), strings.Join(want1, "\n"), lack)
	}
	implied := &Limits{Memory: mib(1)}
	s2 := implied.settings2()
	s1, _ := implied.settings1()
	if s := s2[1]; len(s2) != 2 || s.file != "memory.swap.max" || s.value != "0" || s.limit != "memory" || !s.optional {
		t.Errorf("v2: memory without a word on swap: %+v", s2)
	}
	if s := s1[1]; len(s1) != 2 || s.file != "memory.memsw.limit_in_bytes" || s.value != s1[0].value || s.limit != "memory" || !s.optional {
		t.Errorf("v1: memory without a word on swap: %+v", s1)
	}
	if q, p := (&Limits{CPUs: 0.001}).period(); q != 1000 || p != 1_000_000 {
		t.Errorf("the least share: %d %d; the kernel wants 1000 at least", q, p)
	}
	for in, want := range map[string]string{"0": "0", "2,1,0": "0-2", "5,0-2,1-3": "0-3,5", "0,2,4": "0,2,4"} {
		if got := canonicalCPUs(in); got != want {
			t.Errorf("%s = %s, want %s", in, got, want)
		}
	}
}

func TestName(t *testing.T) {
	for _, n := range []int{0, 3} {
		name := Name(0xf000000c, 42, 12345, n)
		for _, s := range []string{name, name + ".launcher", name + ".scope"} {
			if l, ok := parseName(s); !ok || l != (launcher{0xf000000c, 42, 12345}) {
				t.Errorf("%s: %+v %v", s, l, ok)
			}
		}
	}
	for _, s := range []string{"", "cordon", "cordon-", "cordon-1-2", "cordon-1--2-3", "cordon-x-2-3", "cordon-1-0-3", "cordon-1-2-3-4-5", "xcordon-1-2-3"} {
		if _, ok := parseName(s); ok {
			t.Errorf("%q is a name", s)
		}
	}
	own, err := NewName()
	if err != nil {
		t.Fatal(err)
	}
	if l, ok := parseName(own); !ok || l.dead() {
		t.Errorf("%s: this process is dead", own)
	}
	l, _ := parseName(own)
	stale, elsewhere := l, l
	stale.start--
	elsewhere.ns, elsewhere.pid = elsewhere.ns+1, math.MaxInt32
	if !stale.dead() || elsewhere.dead() || !(launcher{l.ns, math.MaxInt32, 1}).dead() {
		t.Error("a number that was used again, another pid namespace, a number that nobody has")
	}
}

// run executes a device program as the kernel does; it knows the instructions that deviceProgram makes.
func run(t *testing.T, p []byte, access, major, minor uint32) uint32 {
	ctx := [3]uint32{access, major, minor}
	var r [11]uint32
	for pc := 0; pc*8 < len(p); pc++ {
		i := p[pc*8 : pc*8+8]
		dst, off, imm := i[1]&15, int16(binary.NativeEndian.Uint16(i[2:])), binary.NativeEndian.Uint32(i[4:])
		switch i[0] {
		case bpfLoad32:
			r[dst] = ctx[off/4]
		case bpfAnd:
			r[dst] &= imm
		case bpfMov:
			r[dst] = imm
		case bpfIfNot:
			if r[dst] != imm {
				pc += int(off)
			}
		case bpfExit:
			return r[0]
		default:
			t.Fatalf("opcode %#x", i[0])
		}
	}
	t.Fatal("fell off the end")
	return 0
}

func TestDeviceProgram(t *testing.T) {
	list := []Device{{Major: 1, Minor: 3}, {Major: 136, AnyMinor: true}, {Block: true, Major: 7, Minor: 0}}
	p := deviceProgram(list)
	const block, char, all = 1, 2, 7 << 16
	for _, c := range []struct {
		access, major, minor uint32
		want                 uint32
	}{
		{char | all, 1, 3, 1}, {char | all, 1, 1, 0}, {block | all, 1, 3, 0}, {char | all, 136, 9999, 1}, {block | all, 136, 0, 0}, {char, 137, 0, 0},
		{block | 1<<16, 7, 0, 1}, {char | all, 7, 0, 0}, {block | all, 7, 1, 0}, {block | all, 8, 0, 0}, {0, 1, 3, 0},
	} {
		if got := run(t, p, c.access, c.major, c.minor); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	if run(t, deviceProgram(nil), char|all, 1, 3) != 0 {
		t.Error("an empty list allows something")
	}
}

func TestStats(t *testing.T) {
	cgroups.TestMode = true
	defer func() { cgroups.TestMode = false }()
	two, one, empty := t.TempDir(), t.TempDir(), t.TempDir()
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(two, "memory.current", "4096\n")
	write(two, "memory.peak", "8192\n")
	write(two, "memory.events", "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\n")
	write(two, "memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=6\n")
	write(two, "cpu.stat", "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 1\nnr_throttled 7\nthrottled_usec 8\n")
	write(two, "pids.current", "2\n")
	write(two, "pids.events", "max 9\n")
	write(two, "io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 rbytes=10 wbytes=20 rios=30 wios=40 dbytes=0 dios=0\n")
	s, err := (&Place{Dirs: []Dir{{Version: 2, Path: two}}}).Stats()
	if err != nil {
		t.Fatal(err)
	}
	u := func(n uint64) *uint64 { return &n }
	us := func(n time.Duration) *time.Duration { n *= time.Microsecond; return &n }
	want := &Stats{
		Memory: &Memory{Current: u(4096), Peak: u(8192), HighEvents: u(1), MaxEvents: u(2), OOMs: u(3), OOMKills: u(4), Pressure: &Pressure{us(5), us(6)}},
		CPU:    &CPU{Usage: us(30), User: us(20), System: us(10), Throttled: us(8), ThrottledPeriods: u(7)},
		PIDs:   &PIDs{Current: u(1), MaxEvents: u(9)},
		IO:     &IO{ReadBytes: u(11), WriteBytes: u(22), Reads: u(33), Writes: u(44)},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("v2: %+v", s)
	}
	write(one, "memory.usage_in_bytes", "4096\n")
	write(one, "memory.memsw.usage_in_bytes", "5096\n")
	write(one, "memory.max_usage_in_bytes", "8192\n")
	write(one, "memory.failcnt", "2\n")
	write(one, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
	write(one, "cpuacct.usage", "30000\n")
	write(one, "blkio.throttle.io_service_bytes", "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\n8:16 Read 10\nTotal 13\n")
	s, err = (&Place{Dirs: []Dir{{Version: 1, Path: one, Controllers: []string{"memory", "cpuacct", "blkio", "pids"}}}}).Stats()
	if err != nil {
		t.Fatal(err)
	}
	want = &Stats{
		Memory: &Memory{Current: u(4096), Peak: u(8192), SwapCurrent: u(1000), MaxEvents: u(2), OOMKills: u(4)},
		CPU:    &CPU{Usage: us(30)}, PIDs: &PIDs{}, IO: &IO{ReadBytes: u(11), WriteBytes: u(2)},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("v1: %+v %+v", s, s.IO)
	}
	for _, d := range []Dir{{Version: 2, Path: two, Controllers: []string{"memory", "pids"}}, {Version: 1, Path: one, Controllers: []string{"memory"}}} {
		kills, refused := (&Place{Dirs: []Dir{d}}).Events()
		if kills == nil || *kills != 4 || (refused != nil) != (d.Version == 2) || refused != nil && *refused != 9 {
			t.Errorf("events of v%d: %v, %v", d.Version, kills, refused)
		}
	}
	if s, err = (&Place{Dirs: []Dir{{Version: 2, Path: empty}}}).Stats(); err != nil || !reflect.DeepEqual(s, &Stats{}) {
		t.Errorf("a kernel that counts nothing: %+v, %v", s, err)
	}
	if _, err = (&Place{Dirs: []Dir{{Version: 2, Path: empty + "/gone"}}}).Stats(); err == nil {
		t.Error("a group that is gone has statistics")
	}
}

func FuzzName(f *testing.F) {
	f.Add("cordon-f000000c-42-12345.launcher")
	f.Fuzz(func(t *testing.T, s string) {
		if l, ok := parseName(s); ok && (l.pid <= 0 || !strings.HasPrefix(s, prefix)) {
			t.Errorf("%q: %+v", s, l)
		}
	})
}
