package attacks

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// nestOpens lists the rows of the table that a sandbox with nest does not stop. docs/profile.md and the report name
// them.
var nestOpens = []string{"read kcore, keys, timer_list, firmware", "clone, unshare with every namespace flag", "clone3 with every namespace flag, and none",
	"open_tree, move_mount, fsopen, …, mount_setattr", "the same with CAP_SYS_ADMIN in the sandbox", "read /proc/locks, which shows other sandboxes' locks"}

// nestCalls lists the calls that a launcher inside makes. A sandbox with nest allows them: docs/profile.md lists them.
var nestCalls = append(names(newMounts), "mount", "umount2", "pivot_root", "unshare", "setns", "sethostname")

func names(calls []call) (list []string) {
	for _, c := range calls {
		list = append(list, c.name)
	}
	return list
}

// nests reports whether the sandbox has nest: true.
func (b *box) nests() bool { return slices.Contains(b.flags, "--nest") }

// TestNestMatrix runs the attacks of the table in a sandbox with nest: true.
func TestNestMatrix(t *testing.T) {
	fewerRaces(t)
	for _, a := range attacks() {
		if a.on != nil && !slices.Contains(a.on, "default") || slices.Contains([]int{31, 60}, a.row) || slices.Contains(nestOpens, a.name) {
			continue // row 60 names a file in a Landlock rule, which is an error with nest
		}
		t.Run(label(a), func(t *testing.T) {
			for _, who := range accountsOnce() {
				o := attempt(a.run, newBox(t, "default", who).with("--nest"))
				if o.state == "escaped" { // if an attack cannot be tried here, TestMatrix reports that
					t.Errorf("as %s: %s %s", who.name, o.state, o.detail)
				}
			}
		})
	}
}

// nestEscapes lists what the root of a user namespace can try in order to look below a mount of the sandbox. H is the
// hidden directory, S a secret in it, D the directory above, and X an empty directory to mount on.
var nestEscapes = []struct{ name, script string }{
	{"unmount the cover", `umount $H; umount -l $H; cat $S`},
	{"unmount the whole tree", `umount -l /; cat $S`},
	{"move the cover", `mount --move $H $X; cat $S`},
	{"bind the directory above, alone", `mount --bind $D $X && cat $X/home/notes`},
	{"bind the root, alone", `mount --bind / $X && cat $X/$S`},
	{"bind the tree and unmount in the copy", `mount --rbind / $X && umount -l $X/$H; cat $X/$S`},
	{"bind the tree, private, and unmount in the copy", `mount --make-rprivate /; mount --rbind / $X && mount --make-rprivate $X && umount $X/$H; cat $X/$S`},
	{"a second user namespace", `unshare -Urm sh -c "umount -l $H; cat $S"`},
	{"an overlay over the directory above", `mkdir -p /tmp/e && mount -t overlay -o lowerdir=$D:/tmp/e,userxattr o $X && cat $X/home/notes`},
	{"an overlay over the root", `mkdir -p /tmp/e && mount -t overlay -o lowerdir=/:/tmp/e,userxattr o $X && cat $X/$S`},
	{"pivot to a copy and unmount", `mkdir -p $X/n && mount --rbind / $X/n && mkdir -p $X/n/tmp/o && cd $X/n && pivot_root . tmp/o && umount -l $H; cat $S`},
	{"pivot to a tmpfs, and look below the old root", `mount -t tmpfs t $X && mkdir $X/o && cd $X && pivot_root . o && /o/bin/umount -l /o/$H; /o/bin/cat /o/$S`},
	{"a new proc, and pid 1's root", `unshare -pf sh -c "mount -t proc p $X && cat $X/1/root/$S"; cat /proc/1/root/$S`},
	{"the namespaces of pid 1", `nsenter -t 1 -m cat $S; nsenter -t 1 -U -m cat $S`},
	{"chroot and ..", `mkdir -p $X/c && mount --rbind / $X/c && chroot $X/c sh -c "cd ../../../..; cat .$S"`},
	{"remount, writable", `mount -o remount,bind,rw / && echo x > /etc/nest-$$ && cat /etc/nest-$$ | sed s/x/$(cat /tmp/mark)/`},
	{"a host's disk", `for d in /dev/vda /dev/sda /dev/nvme0n1; do mount $d $X && cat $X/$S; done; mount -t devtmpfs d $X && cat $X/vda`},
	{"sysctls of the host", `echo "|/tmp/x" > /proc/sys/kernel/core_pattern && cat /tmp/mark; echo 0 > /proc/sys/kernel/randomize_va_space && cat /tmp/mark; echo > /proc/sysrq-trigger && cat /tmp/mark`},
	{"sysctls of the host, by a new proc", `unshare -pf sh -c "mount -t proc p $X && echo '|/tmp/x' > $X/sys/kernel/core_pattern && cat /tmp/mark"`},
	{"what proc masks otherwise", `cat /proc/kcore | head -c 1 | grep -q . && cat /tmp/mark; cat /proc/timer_list && cat /tmp/mark`},
	{"memory and files of pid 1", `cat /proc/1/mem && cat /tmp/mark; ls /proc/1/fd && cat /tmp/mark; cat /proc/1/environ && cat /tmp/mark`},
	{"the host's cgroups", `mount -t cgroup2 c $X && ls $X/cgroup.procs && cat /tmp/mark; mount -t cgroup -o memory c $X && ls $X && cat /tmp/mark`},
	{"the host's sysfs", `mount -t sysfs s $X && ls $X/kernel && cat /tmp/mark`},
}

// inNest runs a script as root of a new user namespace and a new mount namespace.
func inNest(b *box, script string) result {
	home := b.site.home
	pre := "export H=" + home + " S=" + home + "/notes D=" + b.site.dir + " X=/tmp/x; mkdir -p $X; printf %s ESCAPED >/tmp/mark\n"
	return b.run("unshare", "-Urm", "sh", "-c", pre+script)
}

// TestNestEscapes runs these scripts in every profile with nest that shows the host's tree. Each script prints
// everything that it could read.
func TestNestEscapes(t *testing.T) {
	for _, profile := range hostRoot {
		for _, who := range accounts() {
			for _, esc := range nestEscapes {
				t.Run(profile+"/"+who.name+"/"+esc.name, func(t *testing.T) {
					r := inNest(newBox(t, profile, who).with("--nest"), esc.script)
					if strings.Contains(r.out, siteOf(t, who).mark) || strings.Contains(r.out, "ESCAPED") {
						t.Errorf("escaped: %q", r.out)
					}
					if strings.Contains(r.err, "cordon: error") || strings.Contains(r.err, "unshare: ") {
						t.Errorf("it was not tried: %s", r.err)
					}
				})
			}
		}
	}
}

// TestNestControls runs the same scripts in a place where the namespace that removes the cover also owns the cover.
// There each script must succeed. So the scripts work, and in TestNestEscapes only the locked mounts stop them.
func TestNestControls(t *testing.T) {
	works := 0
	for _, who := range accounts() {
		for _, esc := range nestEscapes {
			cover := "mount -t tmpfs cover $H && ! test -e $S || exit 9\n"
			r := inNest(newBox(t, "", who), cover+esc.script)
			if strings.Contains(r.out, siteOf(t, who).mark) {
				works++
				t.Logf("%s: %s: uncovered", who.name, esc.name)
			}
		}
	}
	if works < 5*len(accounts()) {
		t.Errorf("only %d of the scripts uncover what nothing protects", works)
	}
}

// TestNestReplaced lets the host replace a file that the sandbox hides. A sandbox inside has a copy of the mounts, in
// which the launcher cannot cover the new file, so the run must end.
func TestNestReplaced(t *testing.T) {
	for _, who := range accounts() {
		t.Run(who.name, func(t *testing.T) {
			b := newBox(t, "build", who)
			dir := b.scratch("replaced")
			write := func(name, text string) {
				t.Helper()
				if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := give(dir, who); err != nil {
					t.Fatal(err)
				}
			}
			write("secret", "old")
			b = b.with("--nest", "--rw", dir, "--hide", dir+"/secret")
			r := b.start("unshare", "-Urm", "sh", "-c", "echo ready; sleep 20; cat "+dir+"/secret; echo SURVIVED")
			write("new", "ESCAPED")
			if err := os.Rename(dir+"/new", dir+"/secret"); err != nil {
				t.Fatal(err)
			}
			r.end()
			if code := exitCode(r.cmd); code != 125 || !strings.Contains(r.errs.String(), "(nest)") || strings.Contains(r.out.String(), "SURVIVED") {
				t.Errorf("exit %d: %s%s", code, r.out.String(), r.errs)
			}
		})
	}
}
