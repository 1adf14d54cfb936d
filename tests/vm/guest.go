package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const guestPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin"

// guestMain is the main function of pid 1 of the machine.
func guestMain() { finish(guest) }

// finish does the machine's work and reports the outcome. Whatever happens, it then switches the machine off.
func finish(work func() (outcome, error)) {
	o, err := work()
	if err != nil {
		o.Error = err.Error()
	}
	status, err := port("status")
	if err == nil {
		err = json.NewEncoder(status).Encode(o)
	}
	if err != nil {
		fmt.Println("status:", err, o) // on the console
	}
	unix.Sync()
	fmt.Println("reboot:", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
	select {}
}

func guest() (o outcome, err error) {
	os.Setenv("PATH", guestPath)
	var orders orders
	data, err := os.ReadFile("/orders.json")
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(data, &orders); err != nil {
		return o, fmt.Errorf("orders.json: %w", err)
	}
	if err := errors.Join(mount("proc", "/proc", "proc", 0, ""), mount("sysfs", "/sys", "sysfs", 0, ""), mount("devtmpfs", "/dev", "devtmpfs", 0, ""), loadModules()); err != nil {
		return o, err
	}
	out, err := port("output")
	if err != nil {
		return o, err
	}
	g := guestRun{orders: orders, out: out, outcome: &o}
	g.jobs(true)
	self, err := os.ReadFile("/init")
	if err != nil {
		return o, err
	}
	if err := errors.Join(newRoot(), environment(), users()); err != nil {
		return o, err
	}
	if orders.Systemd {
		return o, becomeSystemd(orders, self)
	}
	if err := cgroups(); err != nil {
		return o, err
	}
	g.jobs(false)
	return o, nil
}

func mount(source, target, fstype string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %s %s %s %s: %w", source, target, fstype, data, err)
	}
	return nil
}

func loadModules() error {
	files, err := filepath.Glob("/modules/*")
	if err != nil {
		return err
	}
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		flags := 0
		if strings.HasSuffix(path, ".xz") {
			flags = unix.MODULE_INIT_COMPRESSED_FILE
		}
		err = unix.FinitModule(int(f.Fd()), "", flags)
		f.Close()
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("finit_module %s: %w", path, err)
		}
	}
	return nil
}

// port opens the virtio-serial port with a given name.
func port(name string) (*os.File, error) {
	for range 200 {
		found, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, path := range found {
			if is, _ := os.ReadFile(path); strings.TrimSpace(string(is)) == name {
				return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(path)), os.O_RDWR, 0)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, fmt.Errorf("no port %q", name)
}

// newRoot leaves the initramfs for the real root, because pivot_root(2) does not work in an initramfs.
func newRoot() error {
	const root = "/new"
	err := errors.Join(
		mount("/dev/vda", root, "ext4", 0, ""),
		mount("/dev/vdb", root+"/cordon", "ext4", 0, ""),
		mount("/dev/vdc", root+"/usr/lib/modules", "ext4", unix.MS_RDONLY, ""),
		mount("tmpfs", root+"/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"),
		unix.Mount("/proc", root+"/proc", "", unix.MS_MOVE, ""),
		unix.Mount("/sys", root+"/sys", "", unix.MS_MOVE, ""),
		unix.Mount("/dev", root+"/dev", "", unix.MS_MOVE, ""))
	if err != nil {
		return err
	}
	return errors.Join(os.Chdir(root), unix.Mount(".", "/", "", unix.MS_MOVE, ""), unix.Chroot("."), os.Chdir("/"))
}

// environment sets up what a distribution's init sets up before anybody logs in.
func environment() error {
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	return errors.Join(
		mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"),
		mount("tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"),
		mount("mqueue", "/dev/mqueue", "mqueue", safe, ""),
		mount("hugetlbfs", "/dev/hugepages", "hugetlbfs", unix.MS_NOSUID|unix.MS_NODEV, ""),
		mount("securityfs", "/sys/kernel/security", "securityfs", safe, ""),
		mount("bpf", "/sys/fs/bpf", "bpf", safe, "mode=700"),
		unix.Sethostname([]byte("vm")),
		loopback(),
		unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: 1 << 20}),
		write("/sys/block/vda/queue/scheduler", "bfq"), // needed for io.weight
		swap(),
	)
}

func write(path, data string) error { return os.WriteFile(path, []byte(data), 0o644) }

// swap sets up swap space in compressed memory.
func swap() error {
	if err := write("/sys/block/zram0/disksize", "512M"); err != nil {
		return err
	}
	for _, args := range [][]string{{"mkswap", "/dev/zram0"}, {"swapon", "/dev/zram0"}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", args[0], err, out)
		}
	}
	return nil
}

func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}

// This is the ordinary user, and the range of ids that this user may map.
const (
	userName = "vm"
	userID   = 12345
	subIDs   = "vm:200000:65536\n"
)

func users() error {
	home := "/home/" + userName
	run := fmt.Sprintf("/run/user/%d", userID)
	return errors.Join(
		appendTo("/etc/hosts", "127.0.0.1 localhost vm\n"), appendTo("/etc/hostname", "vm\n"), appendTo("/etc/resolv.conf", ""),
		appendTo("/etc/passwd", fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", userName, userID, userID, home)),
		appendTo("/etc/shadow", "root:*:19000::::::\n"+userName+":*:19000::::::\n"), os.Chmod("/etc/shadow", 0o600),
		appendTo("/etc/group", fmt.Sprintf("%s:x:%d:\n", userName, userID)),
		appendTo("/etc/subuid", subIDs), appendTo("/etc/subgid", subIDs),
		os.Mkdir(home, 0o700), os.Chown(home, userID, userID),
		os.MkdirAll(run, 0o700), os.Chown(run, userID, userID))
}

func appendTo(path, line string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// guestRun runs the machine's jobs.
type guestRun struct {
	orders  orders
	out     io.Writer
	outcome *outcome
}

func (g guestRun) jobs(plain bool) {
	slowed := 1.0
	if !plain {
		slowed = pace()
	}
	if slowed > 1 && !g.orders.Quiet {
		fmt.Fprintf(g.out, "--- vm: the machine is busy: all may take %.1f times as long\n", slowed)
	}
	for _, j := range g.orders.Jobs {
		if j.Plain != plain {
			continue
		}
		if !g.orders.Quiet {
			fmt.Fprintf(g.out, "--- vm: %s\n", j.Name)
		}
		begun := time.Now()
		code, err := g.do(j.stretched(slowed))
		if err != nil {
			fmt.Fprintf(g.out, "vm: %s: %v\n", j.Name, err)
		}
		verdict := "ok"
		if code != 0 {
			g.outcome.Code = code
			g.outcome.Failed = append(g.outcome.Failed, j.Name)
			verdict = fmt.Sprintf("FAIL: exit code %d", code)
		}
		if !g.orders.Quiet {
			fmt.Fprintf(g.out, "--- vm: %s: %s, %.1f s\n", j.Name, verdict, time.Since(begun).Seconds())
		}
	}
}

// usualPace is how long a program takes to start and end on an emulated machine whose host does nothing else.
const usualPace = 9 * time.Millisecond

// pace returns how many times slower than usualPace this machine is, from 1 to mostSlowed.
func pace() float64 {
	const programs = 50
	begun := time.Now()
	for range programs {
		if exec.Command("/bin/true").Run() != nil {
			return 1
		}
	}
	return min(max(1, float64(time.Since(begun))/programs/float64(usualPace)), mostSlowed)
}

// do runs one job in its own session and cgroup, and at the end kills what is left in the cgroup. If the job takes too
// long, do also kills its process group. Plain jobs, and jobs that systemd runs, have no cgroup of their own.
func (g guestRun) do(j job) (code int, err error) {
	if g.orders.Systemd {
		j = throughSystemd(j)
	}
	cmd := exec.Command(j.Args[0], j.Args[1:]...)
	cmd.Dir = j.Dir
	cmd.Env = append([]string{"PATH=" + guestPath, "LANG=C.UTF-8", "HOME=/root", "USER=root"}, j.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if j.User && !g.orders.Systemd {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: userID, Gid: userID}
		cmd.Env = append(cmd.Env, "HOME=/home/"+userName, "USER="+userName, fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", userID))
	}
	// The job writes to a pipe, as under a shell, because a port cannot be opened again through /proc.
	r, w, err := os.Pipe()
	if err != nil {
		return 125, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	copied := make(chan struct{})
	var tests testLog
	go func() {
		if j.Test {
			tests.copy(g.out, r)
		} else {
			_, _ = io.Copy(g.out, r) // an error means that the pipe is closed
		}
		close(copied)
	}()
	defer func() {
		w.Close()
		timer := time.AfterFunc(2*time.Second, func() { r.Close() }) // another process may still hold it open
		<-copied
		timer.Stop()
		r.Close()
		if j.Test {
			fmt.Fprintf(g.out, "%d passed, %d failed, %d skipped\n", tests.Passed, tests.Failed, tests.Skipped)
		}
		if code == 0 && err == nil && (len(tests.Unforeseen) > 0 || j.Test && tests.Passed+tests.Skipped == 0) {
			code = 1
		}
	}()
	leave := func() {}
	if !j.Plain {
		if err := own("/cordon", j.User); err != nil {
			return 125, err
		}
	}
	if !j.Plain && !g.orders.Systemd {
		session, err := newSession(j.User)
		if err != nil {
			return 125, err
		}
		defer session.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(session.Fd())
		leave = func() { endSession(session.Name()) }
	}
	if err := cmd.Start(); err != nil {
		return 127, err
	}
	timer := time.AfterFunc(j.Timeout, func() {
		fmt.Fprintf(g.out, "vm: %s: ended after %v\n", j.Name, j.Timeout)
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		leave()
	})
	status, err := reap(cmd.Process.Pid)
	timer.Stop()
	leave()
	if err != nil {
		return 125, err
	}
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// reap waits for a child. As pid 1 it also reaps every orphan, because an orphan that has ended remains as a zombie
// until it is reaped.
func reap(child int) (status syscall.WaitStatus, err error) {
	for {
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case pid == child:
			return status, nil
		case err != nil && err != syscall.EINTR:
			return status, fmt.Errorf("wait4: %w", err)
		}
	}
}

// own gives a tree to the user who works on it: root or the ordinary user.
func own(tree string, user bool) error {
	id := 0
	if user {
		id = userID
	}
	return filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, id, id)
	})
}
