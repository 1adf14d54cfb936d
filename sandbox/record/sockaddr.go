package record

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sockaddr names a socket address: ip(7), ipv6(7), unix(7), netlink(7), vsock(7). path is a unix socket's name in the
// file system, as it was given.
func sockaddr(b []byte) (addr, path string) {
	family := binary.LittleEndian.Uint16(b)
	port := func() uint16 { return binary.BigEndian.Uint16(b[2:]) }
	switch {
	case family == unix.AF_INET && len(b) >= 8:
		return "inet:" + netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port()).String(), ""
	case family == unix.AF_INET6 && len(b) >= 24:
		return "inet6:" + netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), port()).String(), ""
	case family == unix.AF_UNIX && len(b) == 2:
		return "unix:", ""
	case family == unix.AF_UNIX && b[2] == 0:
		return "abstract:" + string(b[3:]), ""
	case family == unix.AF_UNIX:
		name, _, _ := strings.Cut(string(b[2:]), "\x00")
		return "unix:" + name, name
	case family == unix.AF_NETLINK && len(b) >= 12:
		return "netlink:" + strconv.FormatUint(uint64(binary.LittleEndian.Uint32(b[8:])), 10), ""
	case family == unix.AF_VSOCK && len(b) >= 12:
		u := binary.LittleEndian.Uint32
		return "vsock:" + strconv.FormatUint(uint64(u(b[8:])), 10) + ":" + strconv.FormatUint(uint64(u(b[4:])), 10), ""
	case family == unix.AF_UNSPEC:
		return "unspec:", ""
	}
	return "family-" + strconv.Itoa(int(family)) + ":", ""
}
