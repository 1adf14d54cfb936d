package attacks

import (
	"os/exec"
	"strings"
)

// rightsAttacks are on who the task is, and on what it may ask the kernel for.
func rightsAttacks() []attack {
	none := noControl("the rows above show it")
	return []attack{
		{53, "root's id: a launcher without SYS_ADMIN", "userns", rootOutside(without("-sys_admin")...), nil, bareRoot(without("-sys_admin")...)},
		{53, "root's id: Docker's default capabilities", "userns", rootOutside(without(dockers)...), nil, bareRoot(without(dockers)...)},
		{53, "root's id: a launcher without SETUID and SETGID", "userns", rootOutside(without("-setuid,-setgid")...), nil, none},
		{53, "root's id: a launcher without any capability", "userns", rootOutside(without("-all")...), nil, none},
		{53, "root's id: in a user namespace that maps root", "userns", rootOutside("unshare", "-Ur"), nil, bareRoot("unshare", "-Ur")},
		{53, "root's id: the same as another number", "userns", rootOutside("unshare", "-U", "--map-user=1000", "--map-group=1000"), nil, none},
		{53, "root's id: behind --uid and --gid", "userns", behindUID, narrow, none},
	}
}

// dockers are the capabilities that Docker gives a container.
const dockers = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap"

// without runs a program with other capabilities.
func without(caps string) []string {
	return []string{"setpriv", "--bounding-set", caps, "--inh-caps", caps, "--"}
}

func behindUID(b *box) outcome {
	return rootOutside(without("-sys_admin")...)(b.with("--uid", "1000", "--gid", "1000"))
}

// rootOutside starts the launcher by a program that leaves it root in name: the task must be somebody else outside, or not
// be started.
func rootOutside(wrap ...string) func(*box) outcome {
	return func(b *box) outcome {
		if b.who.uid != 0 {
			return absent("only root can be root outside")
		}
		box := b.wrapped(wrap...)
		r := box.run(b.program(), "wait", b.site.mark)
		if r.code == 125 && strings.Contains(r.err, "--host-user caller") {
			return blocked("refused")
		}
		run := box.start(b.program(), "wait", b.site.mark)
		defer run.end()
		_, task := initAndTask(run.cmd.Process.Pid)
		if task == 0 {
			return broken("no task: exit %d %s", r.code, r.err)
		}
		if err := b.hasIDs(task); err != nil {
			return escaped("%v", err)
		}
		return blocked("another id")
	}
}

// bareRoot shows that a program which is started so is root outside, and reads what only root may read.
func bareRoot(wrap ...string) control {
	run := func(b *box) outcome {
		file := b.scratch("secret") + "/key"
		if err := exec.Command("install", "-m", "600", "/etc/passwd", file).Run(); err != nil {
			return broken("%v", err)
		}
		if r := b.wrapped(wrap...).run("/bin/cat", file); r.code == 0 {
			return escaped("read %s", file)
		}
		return blocked("not read")
	}
	return control{who: []string{"root"}, run: run}
}
