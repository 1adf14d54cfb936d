package doctor

import (
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/cgroup"
)

// machineFiles gives package cgroup access to the machine, so that the doctor predicts what a launch would do.
type machineFiles struct{ m *Machine }

func (f machineFiles) Stat(path string) (fs.FileInfo, error) {
	_, err := f.m.Stat(path)
	return nil, err
}

func (f machineFiles) Read(path string, n int) ([]byte, error) {
	s, err := f.m.ReadFile(path)
	return []byte(s[:min(n, len(s))]), err
}

func (f machineFiles) Xattr(path, name string) string { return host.OSFiles{}.Xattr(path, name) }

func (f machineFiles) Access(path string, _ uint32) error {
	if !f.m.Writable(path) {
		return unix.EACCES
	}
	return nil
}

// doctorLimits are the limits that profiles are most likely to ask for.
var doctorMemory, doctorLimits = int64(1 << 30), cgroup.Limits{Memory: &doctorMemory, PIDs: 100, CPUs: 1}

func probeCgroup(m *Machine) Finding {
	files := machineFiles{m}
	l, err := cgroup.Read(files)
	if err != nil {
		return lacking("not readable", err.Error(), "mount -t proc proc /proc")
	}
	if l.Kind() == "" {
		return lacking("not mounted", "no cgroup file system is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
	}
	ch := cgroup.Choose(files, l, &doctorLimits, "", cgroup.Caller{UID: m.UID, PID: m.PID})
	found := l.Kind() + ": " + ch.Where()
	if len(ch.Lacking) == 0 {
		return fine(found)
	}
	var limits, causes []string
	for _, x := range ch.Lacking {
		limits = append(limits, x.Limit)
		if !slices.Contains(causes, x.Why) {
			causes = append(causes, x.Why)
		}
	}
	f := Finding{State: OutcomePartial, Found: found, Cause: "no " + strings.Join(limits, ", ") + ": " + strings.Join(causes, "; "),
		Remedy: ch.Lacking[0].Remedy}
	if len(ch.Lacking) == 3 {
		f.State = OutcomeMissing
	}
	return f
}
