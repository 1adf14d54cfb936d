package state

// This file asks the kernel about a running sandbox: proc_pid_status(5), proc_pid_mountinfo(5), proc_pid_limits(5),
// namespaces(7).

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cordon/policy/phrase"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
)

// Kernel holds what the kernel reports about a running sandbox.
type Kernel struct {
	Init   *KernelProcess `json:"init"`
	Task   *KernelProcess `json:"task"`
	Mounts []string       `json:"mounts,omitempty"` // lines of the task's mountinfo
	Cgroup []CgroupFile   `json:"cgroup,omitempty"`
}

// KernelProcess holds what the kernel says about one process.
type KernelProcess struct {
	PID        int               `json:"pid"`
	Namespaces []KernelNamespace `json:"namespaces,omitempty"`
	Status     map[string]string `json:"status"` // lines of /proc/PID/status about the rights of the process
	Limits     []string          `json:"rlimits,omitempty"`
	Cgroups    []string          `json:"cgroups,omitempty"` // lines of /proc/PID/cgroup
	Unread     []string          `json:"unread,omitempty"`  // what the caller may not read, and why
}

// KernelNamespace is a namespace that a process is in.
type KernelNamespace struct {
	Kind string `json:"kind"`
	Name string `json:"name"` // "net:[4026532281]"
	Own  bool   `json:"own"`  // the caller is in another namespace of this kind
}

// CgroupFile is a file of the sandbox's groups, with its content.
type CgroupFile struct {
	Path  string `json:"path"`
	Value string `json:"value"`
}

// statusLines lists the lines of /proc/PID/status that inspect shows.
var statusLines = [...]string{"Uid", "Gid", "Groups", "NSpid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Cpus_allowed_list"}

// Kernel asks the kernel about a running sandbox.
func (e *Entry) Kernel() (*Kernel, error) {
	if err := e.running(); err != nil {
		return nil, err
	}
	k := &Kernel{Init: askKernel(e.State.Init), Task: askKernel(e.State.Task)}
	if k.Init == nil || k.Task == nil {
		return nil, &fail.Error{Op: "sandbox " + e.State.ID, Err: errors.New("is just ending")}
	}
	if b, err := proc.ReadAll("/proc/" + strconv.Itoa(k.Task.PID) + "/mountinfo"); err == nil {
		k.Mounts = lines(b)
	} else {
		k.Task.Unread = append(k.Task.Unread, "mountinfo: "+phrase.Cause(err).Error())
	}
	if c := e.State.Cgroup; c != nil {
		for i := range c.Dirs {
			k.Cgroup = append(k.Cgroup, cgroupFiles(c.Dirs[i].Path)...)
		}
	}
	if now := askKernel(e.State.Task); now == nil { // other processes may have the pids by now
		return nil, &fail.Error{Op: "sandbox " + e.State.ID, Err: errors.New("is just ending")}
	}
	return k, nil
}

// askKernel returns what the kernel says about a process, or nil if the process has ended.
func askKernel(id *ProcessID) *KernelProcess {
	now, err := IdentifyProcess(id.PID)
	if id.hidden() {
		return &KernelProcess{PID: id.PID, Status: map[string]string{}, Unread: []string{"all of it: " + whyHidden}}
	}
	if err != nil || now != *id {
		return nil
	}
	k := &KernelProcess{PID: id.PID, Status: map[string]string{}}
	dir := "/proc/" + strconv.Itoa(id.PID)
	read := func(name string) []byte {
		b, err := proc.ReadAll(dir + "/" + name)
		if err != nil {
			k.Unread = append(k.Unread, name+": "+phrase.Cause(err).Error())
		}
		return b
	}
	for _, line := range lines(read("status")) {
		if key, value, found := strings.Cut(line, ":"); found && slices.Contains(statusLines[:], key) {
			k.Status[key] = strings.Join(strings.Fields(value), " ")
		}
	}
	k.Limits, k.Cgroups = lines(read("limits")), lines(read("cgroup"))
	k.namespaces(dir)
	return k
}

func (k *KernelProcess) namespaces(dir string) {
	for i := range host.CloneKinds() {
		name := host.Kinds[i].Name
		its, err := proc.Readlink(dir + "/ns/" + name)
		if err != nil {
			k.Unread = append(k.Unread, "ns/"+name+": "+phrase.Cause(err).Error())
			continue
		}
		own, _ := proc.Readlink("/proc/self/ns/" + name) // on an error, own is "", which equals no namespace's name
		k.Namespaces = append(k.Namespaces, KernelNamespace{name, its, its != own})
	}
}

// StatusNames returns the keys of Status, in the order of statusLines.
func (k *KernelProcess) StatusNames() []string {
	names := slices.Collect(maps.Keys(k.Status))
	slices.SortFunc(names, func(a, b string) int { return slices.Index(statusLines[:], a) - slices.Index(statusLines[:], b) })
	return names
}

func lines(b []byte) []string {
	text := strings.TrimSuffix(string(b), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// cgroupLimits lists the files of a cgroup that hold its limits, for v2 and v1.
var cgroupLimits = [...]string{
	"memory.max", "memory.high", "memory.swap.max", "memory.oom.group", "cpu.max", "cpu.weight", "cpuset.cpus", "pids.max", "io.max", "io.weight", "io.bfq.weight", "cgroup.freeze",
	"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares", "blkio.weight", "freezer.state", "devices.list",
}

func cgroupFiles(dir string) (files []CgroupFile) {
	for _, name := range cgroupLimits {
		path := filepath.Join(dir, name)
		if b, err := os.ReadFile(path); err == nil {
			files = append(files, CgroupFile{path, strings.TrimSpace(string(b))})
		}
	}
	return files
}
