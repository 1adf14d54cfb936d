package hosts

// This file makes containers: a bundle for runc(8) and crun(1), with the settings that Docker and kubernetes use.

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// dockerCaps lists the capabilities that a container's root has by default: Docker's daemon, oci/caps/defaults.go.
const dockerCaps = "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT MKNOD AUDIT_WRITE NET_RAW SETFCAP"

type object = map[string]any

// bundle describes how a container differs from an ordinary one.
type bundle struct {
	caps     []string
	unmasked bool     // like systempaths=unconfined
	bare     bool     // without /dev, /proc and /run
	filter   string   // the name of a filter
	nested   bool     // the container has its own user namespace
	args     []string // the command that it runs
	uid      int
}

// write fills the bundle's directory: config.json and a root file system.
func (b *bundle) write(dir, rootfs string) error {
	caps := make([]string, len(b.caps))
	for i, name := range b.caps {
		caps[i] = "CAP_" + name
	}
	mounts := []object{
		{"destination": "/proc", "type": "proc", "source": "proc"},
		{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "mode=755"}},
		{"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": []string{"newinstance", "ptmxmode=0666"}},
		{"destination": "/sys", "type": "bind", "source": "/sys", "options": []string{"rbind", "ro"}},
		{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": []string{"mode=1777"}},
		{"destination": "/home", "type": "tmpfs", "source": "tmpfs", "options": []string{"mode=1777"}},
	}
	namespaces := []object{{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"}}
	linux := object{"namespaces": namespaces}
	if !b.unmasked {
		linux["maskedPaths"] = []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/scsi", "/sys/firmware"}
		linux["readonlyPaths"] = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
	}
	if b.nested {
		linux["namespaces"] = append(namespaces, object{"type": "user"})
		linux["uidMappings"] = []object{{"containerID": 0, "hostID": 300000, "size": 65536}}
		linux["gidMappings"] = []object{{"containerID": 0, "hostID": 300000, "size": 65536}}
	}
	if b.filter != "" {
		linux["seccomp"] = object{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules(filters[b.filter])}
	}
	if b.bare {
		mounts = nil
	}
	config := object{
		"ociVersion": "1.0.2",
		"process": object{
			"user": object{"uid": b.uid, "gid": b.uid}, "args": b.args, "cwd": "/tmp", "env": []string{"PATH=/bin", "HOME=/home"},
			"capabilities":    object{"bounding": caps, "effective": caps, "permitted": caps},
			"noNewPrivileges": false,
		},
		"root": object{"path": rootfs, "readonly": false}, "hostname": "box", "mounts": mounts, "linux": linux,
	}
	text, err := json.MarshalIndent(config, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644)
}

// rules returns a filter in the form that a bundle has. If a call is denied for some flags, it makes one rule for each
// flag.
func rules(list []denied) (out []object) {
	for _, d := range list {
		rule := object{"names": []string{d.name}, "action": "SCMP_ACT_ERRNO", "errnoRet": int(d.errno)}
		if d.flags == 0 {
			out = append(out, rule)
		}
		for bit := uint32(1); bit != 0; bit <<= 1 {
			if d.flags&bit != 0 {
				out = append(out, object{"names": rule["names"], "action": rule["action"], "errnoRet": rule["errnoRet"],
					"args": []object{{"index": 0, "value": bit, "valueTwo": bit, "op": "SCMP_CMP_MASKED_EQ"}}})
			}
		}
	}
	return out
}
