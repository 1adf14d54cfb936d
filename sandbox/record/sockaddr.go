package record

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy/recording"
)

// sockaddr parses a socket address: ip(7), ipv6(7), unix(7), netlink(7), vsock(7). path is the path of a unix socket,
// as the program passed it. b must have at least two bytes.
func sockaddr(b []byte) (n recording.Net, path string) {
	family := binary.LittleEndian.Uint16(b)
	if int(family) < len(families) {
		n.Family = families[family]
	}
	if n.Family == "" {
		n.Family = strconv.Itoa(int(family))
	}
	switch {
	case family == unix.AF_INET && len(b) >= 8:
		n.Addr, n.Port = netip.AddrFrom4([4]byte(b[4:8])).String(), binary.BigEndian.Uint16(b[2:])
	case family == unix.AF_INET6 && len(b) >= 24:
		n.Addr, n.Port = netip.AddrFrom16([16]byte(b[8:24])).String(), binary.BigEndian.Uint16(b[2:])
	case family == unix.AF_UNIX && len(b) > 2 && b[2] == 0:
		n.Addr = "@" + strings.TrimRight(string(b[3:]), "\x00")
	case family == unix.AF_UNIX:
		path, _, _ = strings.Cut(string(b[2:]), "\x00")
	case family == unix.AF_VSOCK && len(b) >= 12:
		n.Addr = strconv.FormatUint(uint64(binary.LittleEndian.Uint32(b[8:])), 10)
	}
	return n, path
}

// families are the address families that a program is likely to use: address_families(7).
var families = [64]string{
	unix.AF_UNSPEC: "unspec", unix.AF_UNIX: "unix", unix.AF_INET: "inet", unix.AF_INET6: "inet6", unix.AF_NETLINK: "netlink",
	unix.AF_PACKET: "packet", unix.AF_ALG: "alg", unix.AF_VSOCK: "vsock", unix.AF_BLUETOOTH: "bluetooth", unix.AF_CAN: "can", unix.AF_XDP: "xdp",
}

// protocol returns the protocol of a task's socket, from the extended attributes of sockfs. If there is no such
// attribute, it returns "".
func protocol(tid, fd int) string {
	var buf [32]byte
	n, err := unix.Getxattr(procPath(tid, "fd/"+strconv.Itoa(fd)), "system.sockprotoname", buf[:])
	if err != nil {
		return ""
	}
	name := strings.ToLower(strings.TrimRight(string(buf[:n]), "\x00"))
	return strings.TrimSuffix(name, "v6")
}
