package doctor

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"cordon/policy/phrase"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/cause"
	"cordon/sandbox/internal/fail"
)

func probeNamespace(m *Machine, name string) Finding {
	for i := range host.Kinds {
		k := &host.Kinds[i]
		if k.Name != name {
			continue
		}
		flag := uintptr(k.Flag) &^ unix.CLONE_NEWUSER // tryNamespaces always makes a user namespace
		err := m.Namespaces(flag)
		if err == nil && flag == 0 {
			return fine("made one, mapped an id, used a capability in it")
		}
		if err == nil {
			return fine("made one")
		}
		if flag != 0 && m.Namespaces(0) != nil {
			return Finding{State: OutcomeUnknown, Found: "not tried", Cause: "not tried, because no user namespace can be made", Remedy: "see userns"}
		}
		return m.orInPlace(m.refused(k, err))
	}
	return Finding{State: OutcomeUnknown, Found: "no such kind"}
}

// refused returns the finding, with its cause, for a namespace that could not be made.
func (m *Machine) refused(k *host.Kind, err error) Finding {
	e := fail.Errno(err)
	if c, ok := m.host().RootMap(); ok && e == syscall.EPERM && !m.givesIDs() {
		return because("clone: "+errnoText(err), c)
	}
	return because("clone: "+errnoText(err), m.host().Namespace(k, e))
}

// givesIDs reports whether the caller is root and can run a task with another id. If so, the launcher need not map
// root's own id.
func (m *Machine) givesIDs() bool {
	return m.UID == 0 && m.HasCap(unix.CAP_SETUID) && m.HasCap(unix.CAP_SETGID)
}

func because(found string, c cause.Cause) Finding { return lacking(found, c.Why, c.Remedy) }

// host returns the machine in the form that package cause needs.
func (m *Machine) host() *cause.Host {
	return &cause.Host{UID: m.UID, Exe: m.Exe, ReadFile: m.ReadFile, HasCap: m.HasCap}
}

func probeProc(m *Machine) Finding {
	masks, err := m.host().Masks()
	if err != nil {
		return lacking("no /proc", "proc is not mounted", "mount -t proc proc /proc")
	}
	if len(masks) == 0 {
		return fine("nothing is mounted on top of /proc")
	}
	return because(masks[0]+" and "+phrase.Counted(len(masks)-1, "other mount")+" on top of /proc", cause.MaskedProc)
}

func errnoText(err error) string {
	if e := fail.Errno(err); e != 0 {
		return unix.ErrnoName(e)
	}
	return err.Error()
}

// errNotTried is the error of a probe that cannot be tried here.
var errNotTried = errors.New("not tried")
