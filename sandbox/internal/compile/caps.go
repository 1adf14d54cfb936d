package compile

// capabilities(7): bounding set, securebits, ambient set (Linux 4.3), no_new_privs (3.5).

import (
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
)

// The secure bits, each with its lock.
const (
	secureNoRoot   = 1 << 0
	secureLocks    = 1<<1 | 1<<3 | 1<<7 // of the other three
	secureFixup    = 1 << 2             // no change of ids changes capabilities
	secureKeepLock = 1 << 5             // PR_SET_KEEPCAPS cannot be called
	secureNoRise   = 1 << 6             // no ambient capability can be raised any more
)

// secureBits are the task's, for good. Root inside that keeps capabilities is root as on a host: it has them by being uid 0, and
// a program that becomes another user loses them. With secureFixup that program would keep them all, SETUID too, and be root
// again whenever it likes. Where SETUID is kept, it may say before that which ones it wants to keep.
func (c *Compilation) secureBits() uint64 {
	bits := uint64(secureLocks | secureNoRise)
	if c.Keep>>unix.CAP_SETUID&1 == 0 {
		bits |= secureKeepLock
	}
	if c.Keep == 0 || c.IDs.InUID != 0 {
		bits |= secureNoRoot | secureFixup
	}
	return bits
}

// BoundingSet drops everything that the task may never get back.
func (c *Compilation) BoundingSet() error {
	caps := &c.Profile.Capabilities
	for i := range caps.Keep {
		n, err := c.capNumber(&caps.Keep[i])
		if err != nil {
			return err
		}
		c.Keep |= 1 << n
	}
	for i := range caps.Ambient {
		n, err := c.capNumber(&caps.Ambient[i])
		if err != nil {
			return err
		}
		c.Ambient |= 1 << n
	}
	from := own("capabilities")
	for n := 0; n <= c.Host.LastCap; n++ {
		if c.Keep>>n&1 == 0 {
			c.do(from, plan.PrctlStep(unix.PR_CAPBSET_DROP, uint64(n)))
		}
	}
	return nil
}

func (c *Compilation) capNumber(k *policy.Capability) (int, error) {
	n, ok := policy.CapabilityNumber(k.Name)
	if !ok || n > c.Host.LastCap {
		return 0, &fail.UnsupportedError{Layer: policy.LayerCaps, Why: "this kernel has no capability " + k.Name, From: k.Pos.Short(),
			Remedy: "leave it out; the last one here is number " + strconv.Itoa(c.Host.LastCap)}
	}
	return n, nil
}

func (c *Compilation) noNewPrivs() error {
	c.do(own("no_new_privs"), plan.PrctlStep(unix.PR_SET_NO_NEW_PRIVS, 1))
	return nil
}

// capabilities sets the task's five sets. A change of ids comes first, while there is the right to it.
func (c *Compilation) capabilities() error {
	from := c.scalar("capabilities.keep")
	all := uint64(1)<<(c.Host.LastCap+1) - 1
	if !c.IDs.NewUser {
		all = c.Host.Permitted
	}
	if c.leaveRoot() { // which left the effective set empty
		c.do(from, plan.CapsetStep(all, all, 0))
	}
	if c.Ambient != 0 {
		c.do(from, plan.CapsetStep(all, all, c.Ambient))
		for n := range 64 {
			if c.Ambient>>n&1 == 1 {
				c.do(from, plan.PrctlStep(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uint64(n)))
			}
		}
	} else {
		c.do(from, plan.PrctlStep(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL))
	}
	// The secure bits before the last capset, which takes CAP_SETPCAP away.
	c.do(from, plan.PrctlStep(unix.PR_SET_SECUREBITS, c.secureBits()), plan.CapsetStep(c.Keep, c.Keep, c.Ambient))
	return nil
}
