package main

// This file runs a machine with systemd. The initramfs prepares the root file system in the same way as without
// systemd, and then becomes systemd. One of systemd's services is this program (agentMain). It runs the jobs and
// switches the machine off.

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed systemd.sh
var systemdTest []byte

const (
	systemd  = "systemd" // the name of its jobs
	agent    = "agent"
	agentDir = "/run/vm"
	units    = "/run/systemd/system"
	manager  = "/lib/systemd/systemd"
)

// service starts after everything that a user's session needs: PAM, logind, D-Bus. target is the target that systemd
// boots.
const (
	service = "[Unit]\nDescription=the suite\nWants=dbus.socket systemd-logind.service systemd-user-sessions.service\n" +
		"After=dbus.socket systemd-logind.service systemd-user-sessions.service\n" +
		"[Service]\nType=exec\nExecStart=" + agentDir + "/init " + agent + " " + agentDir + "/orders.json\nStandardOutput=tty\nStandardError=tty\nTTYPath=/dev/console\n"
	target = "[Unit]\nDescription=the suite\nWants=vm.service\nRequires=basic.target\nAfter=basic.target\n"
)

// masked lists units that are not needed here and would take minutes.
var masked = []string{"systemd-binfmt.service", "systemd-firstboot.service", "systemd-hwdb-update.service", "systemd-journal-catalog-update.service",
	"systemd-machine-id-commit.service", "systemd-modules-load.service", "systemd-pcrphase-sysinit.service", "systemd-pcrphase.service",
	"systemd-repart.service", "systemd-timesyncd.service", "systemd-update-done.service", "ldconfig.service", "proc-sys-fs-binfmt_misc.automount"}

// becomeSystemd stores this program and the orders where the service finds them, and then becomes systemd.
func becomeSystemd(o orders, self []byte) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	err = errors.Join(os.MkdirAll(units, 0o755), os.MkdirAll(agentDir, 0o755),
		write(units+"/vm.service", service), write(units+"/vm.target", target),
		os.WriteFile(agentDir+"/orders.json", data, 0o644), os.WriteFile(agentDir+"/init", self, 0o755),
		os.WriteFile(agentDir+"/systemd.sh", systemdTest, 0o755))
	for _, unit := range masked {
		err = errors.Join(err, os.Symlink("/dev/null", units+"/"+unit))
	}
	if err != nil {
		return err
	}
	args := []string{manager, "--unit=vm.target", "--log-level=warning", "--log-target=console", "--show-status=no"}
	return fmt.Errorf("%s: %w", manager, unix.Exec(manager, args, []string{"PATH=" + guestPath, "LANG=C.UTF-8"}))
}

// agentMain is the main function of the service. It does the rest of init's work.
func agentMain(path string) error {
	os.Setenv("PATH", guestPath)
	finish(func() (o outcome, err error) {
		data, err := os.ReadFile(path)
		if err != nil {
			return o, err
		}
		g := guestRun{outcome: &o}
		if err := json.Unmarshal(data, &g.orders); err != nil {
			return o, err
		}
		if g.out, err = port("output"); err != nil {
			return o, err
		}
		g.jobs(false)
		return o, nil
	})
	return nil
}

// throughSystemd returns a job that makes the service manager run j: for root as a service, for the ordinary user in
// a session, for which PAM starts the user's own manager.
func throughSystemd(j job) job {
	args := []string{"systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--service-type=exec", "--property=WorkingDirectory=" + j.Dir}
	if j.User {
		args = append(args, "--property=User="+userName, "--property=PAMName=login")
	}
	for _, env := range append([]string{"PATH=" + guestPath, "LANG=C.UTF-8"}, j.Env...) {
		args = append(args, "--setenv="+env)
	}
	j.Args = append(append(args, "--"), j.Args...)
	return j
}

// systemdJobs returns the jobs that run systemd.sh, as root and as the ordinary user.
func (o suiteOptions) systemdJobs() (jobs []job) {
	for _, who := range []string{"root", "user"} {
		if o.as == "" || o.as == who {
			jobs = append(jobs, job{Name: who + " " + systemd, User: who == "user", Dir: "/cordon", Env: testEnv, Timeout: 10 * time.Minute,
				Args: []string{"/bin/bash", agentDir + "/systemd.sh"}})
		}
	}
	return jobs
}
