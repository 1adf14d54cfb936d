package egress

// This file reads and changes the sets in the sandbox's kernel: netlink(7).

import (
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"cordon/sandbox/plan"
)

// kernel is a socket of netfilter in the sandbox's network.
type kernel struct {
	mu  sync.Mutex
	fd  int
	seq uint32
}

// element adds an address to a set, or deletes it.
func (k *kernel) element(set *Set, a netip.Addr, add bool) error {
	name := set.IPv6
	if a.Is4() {
		name = set.IPv4
	}
	if name == "" {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seq++
	err := k.send(plan.NftBatch(k.seq<<8, []string{plan.NftElem(k.seq<<8|1, name, string(a.AsSlice()), add)}))
	if err != nil {
		return err
	}
	b, err := k.receive()
	for _, answer := range plan.Answers(b) {
		if answer.Errno != 0 && answer.Errno != plan.EEXIST {
			return unix.Errno(answer.Errno)
		}
	}
	return err
}

func (k *kernel) send(message string) error {
	return unix.Sendto(k.fd, []byte(message), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// receive reads what the kernel has answered. It never waits, because the kernel has answered before a send returns.
func (k *kernel) receive() (all []byte, err error) {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(k.fd, buf, unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, buf[:n]...)
	}
}

// refused returns the flows that the kernel has refused. If there is an error, it returns no flows.
func (k *kernel) refused() (list []plan.Flow) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, set := range [...]string{"refused4", "refused6"} {
		k.seq++
		if k.send(plan.NftDump(k.seq<<8, "elements", set)) != nil {
			continue
		}
		b, _ := k.receive()
		list = append(list, plan.Flows(b)...)
	}
	return list
}
