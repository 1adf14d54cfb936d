package convert

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
)

// Target is the machine and the container for which a profile is converted.
type Target struct {
	Arch   filter.Arch // the native architecture
	Kernel Kernel
	Caps   []string // kept capabilities, without CAP_, upper case
}

// Kernel is a kernel release: 6, 18 for Linux 6.18.
type Kernel struct{ Major, Minor int }

func (k Kernel) String() string { return strconv.Itoa(k.Major) + "." + strconv.Itoa(k.Minor) }

// ParseKernel reads a release such as "6.18".
func ParseKernel(s string) (Kernel, error) {
	major, minor, ok := strings.Cut(s, ".")
	a, err := strconv.ParseUint(major, 10, 8)
	b, err2 := strconv.ParseUint(minor, 10, 8)
	if !ok || err != nil || err2 != nil || a == 0 && b == 0 {
		return Kernel{}, errors.New(policy.Quote(s) + " is not a kernel release")
	}
	return Kernel{int(a), int(b)}, nil
}

// DockerCaps lists the capabilities that docker run keeps.
func DockerCaps() []string {
	return []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "NET_RAW",
		"SYS_CHROOT", "MKNOD", "AUDIT_WRITE", "SETFCAP"}
}

// name returns the architecture's name in the conditions includes and excludes of a file.
func (t *Target) name() string {
	if t.Arch == filter.I386 {
		return "x86"
	}
	return t.Arch.String()
}

func (t *Target) keeps(c string) bool { return slices.Contains(t.Caps, c) }

func (t *Target) reaches(k *Kernel) bool {
	return t.Kernel.Major > k.Major || t.Kernel.Major == k.Major && t.Kernel.Minor >= k.Minor
}

// includes reports whether the target has everything that the condition names.
func (t *Target) includes(c *condition) bool {
	return (len(c.arches) == 0 || slices.Contains(c.arches, t.name())) &&
		!slices.ContainsFunc(c.caps, func(c string) bool { return !t.keeps(c) }) && (c.kernel == nil || t.reaches(c.kernel))
}

// excludes reports whether the target has anything that the condition names.
func (t *Target) excludes(c *condition) bool {
	return slices.Contains(c.arches, t.name()) || slices.ContainsFunc(c.caps, t.keeps) || c.kernel != nil && t.reaches(c.kernel)
}

// abis lists the ABIs whose calls are possible.
func (t *Target) abis(foreign []filter.Arch) []filter.Arch {
	return append([]filter.Arch{t.Arch}, foreign...)
}

// old reports whether one of the ABIs has registers of 32 bits.
func old(abis []filter.Arch) bool {
	return slices.Contains(abis, filter.I386) || slices.Contains(abis, filter.ARM)
}
