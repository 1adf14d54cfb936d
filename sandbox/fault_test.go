package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/plan"
)

// faultPlans returns commands whose plans together contain every kind of step.
func faultPlans(t *testing.T) map[string]func() *Cmd {
	rootfs := publicDir(t)
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp"} {
		if err := os.Mkdir(filepath.Join(rootfs, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"bin/prog", "etc/hosts", "etc/hostname", "etc/resolv.conf"} {
		if err := os.WriteFile(filepath.Join(rootfs, f), []byte("#!\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	container := sandboxtest.Shipped(t, "container")
	container.Root = policy.Root{Kind: policy.RootDir, Dir: rootfs, Overlay: "tmp"}
	container.Capabilities.Ambient = []policy.Capability{{Name: "NET_BIND_SERVICE"}}
	container.Process.Nice = policy.Opt[int]{Set: true, V: 19} // valid whatever nice value this process has
	container.Process.OOMScoreAdj = policy.Opt[int]{Set: true, V: 900}
	container.Namespaces.Time.New = true

	standard, empty := sandboxtest.Shipped(t, "default"), sandboxtest.Shipped(t, "strict")
	empty.Mounts = append(empty.Mounts, policy.Mount{Kind: policy.MountSymlink, Source: "/tmp", Target: "/var/tmp"},
		policy.Mount{Kind: policy.MountDir, Target: "/srv/empty"}, policy.Mount{Kind: policy.MountFile, Target: "/etc/motd", Content: "hello\n"})
	run := func(p *policy.Profile, args ...string) func() *Cmd {
		return func() *Cmd { return &Cmd{Profile: p, Args: args, Host: withoutSockets(t)} }
	}
	over := sandboxtest.OverHost("tmp")
	over.Mounts, over.Landlock.Off = nil, true // the other plans contain these steps
	plans := map[string]func() *Cmd{
		"over the host": run(over, "/bin/true"),
		"default":       run(standard, "true"), "terminal": func() *Cmd {
			return &Cmd{Profile: standard, Args: []string{"true"}, Terminal: true, Host: withoutSockets(t)}
		}, "container": run(container, "/bin/prog"), "empty root": run(empty, "true"),
	}
	if os.Getuid() == 0 { // no user namespace, an existing network namespace, and chroot
		joined := sandboxtest.Shipped(t, "default")
		joined.Namespaces.User.Mode = policy.NSHost
		joined.Namespaces.Net = policy.Namespace{Mode: policy.NSJoin, Path: "/proc/self/ns/net"}
		joined.User = ids(12345)
		joined.Root.Enter = policy.EnterChroot
		plans["joined"] = run(joined, "true")
	}
	if limited, err := mayBeGrouped(t, ""); err == nil {
		plans["in groups"] = run(limited.Profile, "true")
	}
	// This plan has existing namespaces, which the child enters.
	pid := holder(t, holders()[0])
	entered, partly := sandboxtest.Shipped(t, "default"), sandboxtest.Shipped(t, "default")
	entered.User, partly.User = ids(0), ids(0)
	joining(entered, pid, everyKind...)
	joining(partly, pid, "user", "net")
	plans["entered"], plans["entered in part"] = run(entered, "true"), run(partly, "true")
	return plans
}

// withoutSockets returns this host without the sockets of other programs. Such sockets come and go, and cordon covers
// each by separate steps.
func withoutSockets(t *testing.T) *host.Host {
	h, err := host.Probe()
	if err != nil {
		t.Fatal(err)
	}
	h.Files = noSockets{}
	return h
}

type noSockets struct{ host.OSFiles }

func (noSockets) Read(path string, n int) ([]byte, error) {
	if path == "/proc/net/unix" {
		return nil, nil
	}
	return host.OSFiles{}.Read(path, n)
}

func (noSockets) Sockets() ([]host.BoundSocket, error) { return nil, nil }

func (noSockets) Listens(string) bool { return false }

// TestFaults makes every step of a plan fail in turn. The error must name the step, and nothing may be left behind.
func TestFaults(t *testing.T) {
	for name, command := range faultPlans(t) {
		t.Run(name, func(t *testing.T) {
			pl, err := command().Plan()
			if err != nil {
				t.Fatal(err)
			}
			_ = failAt(t, command(), pl, 0) // the runtime opens some files once and never closes them
			before, threadsBefore := look(t), threads(t)
			steps := append(pl.Steps[:len(pl.Steps):len(pl.Steps)], pl.Init...)
			stride := 1
			switch {
			case testing.Short():
				stride = 7
			case os.Getenv("CORDON_CI") != "": // in CI it would run twice
				stride = 3
			}
			for i := 0; i < len(steps); i += stride {
				if name == "terminal" && steps[i].From.Section != "tty" { // the other steps are those of "default"
					continue
				}
				c := command()
				err := failAt(t, c, pl, i)
				wantFault(t, pl, i, steps[i], err)
				if left := children(t); len(left) != len(before.children) {
					t.Fatalf("step %d, %s: processes %v are left", i, steps[i], left)
				}
				if i%50 == 0 {
					unchanged(t, before)
				}
				if strings.HasPrefix(name, "in groups") && ownGroups(t) != "" {
					t.Fatalf("step %d, %s: %s is left", i, steps[i], ownGroups(t))
				}
			}
			unchanged(t, before)
			if n := threads(t); n > threadsBefore+20 {
				t.Errorf("%d threads, there were %d", n, threadsBefore)
			}
		})
	}
	asUserToo(t)
}

// TestFaultOfInit checks the error if the filter has killed init. The task then also reports that it cannot reach init,
// but the error must name the filter.
func TestFaultOfInit(t *testing.T) {
	image, err := child.New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Release()
	p := processOf(t, &Cmd{})
	p.Image, p.Reaped, p.Status = image, true, unix.WaitStatus(unix.SIGSYS)
	p.Comp = &compile.Compilation{Plan: plan.Plan{Steps: []plan.Step{compile.Say(compile.MsgBegin)}, Init: []plan.Step{compile.Say(compile.MsgInit)}}}
	page := image.Page()
	page.Init, page.Task = child.Fault{Step: child.InitBase + 1}, child.Fault{Step: 1, Errno: uint32(unix.EPIPE)}
	var step *StepError
	if err := p.Fault(); !errors.As(err, &step) || step.Index != 1 || step.Signal != unix.SIGSYS {
		t.Errorf("%v", err)
	}
	p.Status = 0
	if err := p.Fault(); !errors.As(err, &step) || step.Index != 0 || step.Errno != unix.EPIPE {
		t.Errorf("%v", err)
	}
}

// failAt launches with a failing step. init executes its last steps after its message to the launcher, so the program
// may already run when one of them fails. The kernel then kills the program with init, and the report names the signal.
func failAt(t *testing.T, c *Cmd, pl *plan.Plan, i int) error {
	t.Helper()
	if c.failStep = i + 1; i >= len(pl.Steps) {
		c.failStep, c.failInit = 0, i-len(pl.Steps)+1
	}
	err := c.Start()
	if err != nil {
		return err
	}
	report, err := wait(c)
	if err != nil {
		t.Errorf("step %d: %v", i, err)
		return nil
	}
	if report.Signal == "SIGSYS" {
		return errKilledLater
	}
	return nil
}

var errKilledLater = errors.New("killed after the program was run")

// wantFault checks the error of step i. After a filter is installed, the failing call may end the process instead.
func wantFault(t *testing.T, pl *plan.Plan, i int, s plan.Step, err error) {
	t.Helper()
	var step *StepError
	var lookup *LookupError
	switch {
	case behindWord(pl, i) && (errors.Is(err, errKilledLater) || errors.As(err, &lookup)): // /bin/prog is not a program
	case s.Call == plan.Execve || s.Call == plan.Execveat:
		if !errors.As(err, &lookup) || lookup.Code != 126 || lookup.Why != syscall.ENOSYS.Error() {
			t.Errorf("step %d, %s: got %v, want a LookupError with code 126", i, s, err)
		}
	case !errors.As(err, &step):
		t.Errorf("step %d, %s: got %T %v, want a StepError", i, s, err, err)
	case step.Index != i || step.Step != s.String() || step.From != s.From.String():
		t.Errorf("step %d, %s: got %+v", i, s, step)
	case behindFilter(pl, i) && step.Errno == 0 && step.Signal == syscall.SIGSYS:
	case step.Errno != syscall.ENOSYS || !errors.Is(err, syscall.ENOSYS):
		t.Errorf("step %d, %s: got %v", i, s, step)
	}
}

// behindFilter reports whether init makes this step under its filter.
func behindFilter(pl *plan.Plan, i int) bool {
	for j := len(pl.Steps); j < i; j++ {
		if pl.Init[j-len(pl.Steps)].Call == plan.Seccomp {
			return true
		}
	}
	return false
}

// behindWord reports whether init makes this step after it has told the launcher that it is confined.
func behindWord(pl *plan.Plan, i int) bool {
	for j := len(pl.Steps); j < i; j++ {
		if pl.Init[j-len(pl.Steps)].Call == plan.Sendto {
			return true
		}
	}
	return false
}
