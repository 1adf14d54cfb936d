package attacks

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Rows 46 to 49: what a task does to what belongs to its caller. testdata/guest.c is the task.

func guestAttacks() []attack {
	return []attack{
		{49, "ask another sandbox's control socket", "launcher", askControl, nil, shows(askControlBare)},
	}
}

var guestBin = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(base, "guest")
	return bin, build("gcc", "-O1", "-Wall", "-Werror", "-static", "-o", bin, filepath.Join("testdata", "guest.c"))
})

// guest returns the path, inside, of the program that stands for the task.
func (b *box) guest() string {
	b.t.Helper()
	bin, err := guestBin()
	to := b.site.work + "/guest"
	if b.onRootfs() {
		to = b.site.rootfs + "/guest"
	}
	if err == nil && !exists(to) {
		err = errors.Join(copyFile(bin, to), os.Chown(to, b.who.uid, b.who.gid))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	if b.onRootfs() {
		return "/guest"
	}
	return "./guest"
}

// askControl lets a sandbox write the runtime directory that another sandbox of the user was started with.
func askControl(b *box) outcome {
	if b.who.uid == 0 {
		return blocked("root's is always /run/cordon, which no sandbox sees")
	}
	k, _ := b.keep()
	other := b.scratch("runtime")
	if err := os.Chmod(other, 0o700); err != nil {
		return broken("%v", err)
	}
	seen := k.runtime
	if b.onRootfs() || b.profile == "strict" {
		seen = "/home"
	}
	in := *b
	in.env = append(in.env, "XDG_RUNTIME_DIR="+other)
	shown := in.with("--rw", k.runtime+":"+seen)
	for _, request := range []string{`{"op":"log"}`, `{"op":"attach"}`, `{"op":"signal","args":{"signal":19}}`, `{"op":"signal","args":{"signal":9}}`} {
		o := outcomeOf(shown.run(b.guest(), "ask", seen+"/cordon/"+k.entry+"/control", request))
		if o.state != "blocked" || o.detail != "no reply" && o.detail != "SIGSYS" {
			return outcome{strings.Replace(o.state, "blocked", "broken", 1), request + ": " + o.detail}
		}
	}
	if harm := k.harmed(); harm != "" {
		return escaped("%s", harm)
	}
	return blocked("no reply")
}

func askControlBare(b *box) outcome {
	k, in := b.keep()
	return outcomeOf(in.run(b.guest(), "ask", k.dir+"/"+k.entry+"/control", `{"op":"attach"}`))
}
