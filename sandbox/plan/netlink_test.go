package plan

import (
	"encoding/binary"
	"testing"
)

// The messages that are sent, and those that the kernel dumps, are compared in this form.
func TestNetlinkText(t *testing.T) {
	for message, want := range map[string]string{
		AddLink(1, "veth"):                                          "ip link add eth0 index 100 up type veth",
		AddAddr(1, Eth0, "\x0a\xc8\x00\x02"):                        "ip addr add 10.200.0.2/32 dev 100 nodad",
		AddLocalRoute(1, "\x0a\xc8\x00\x02"):                        "ip route add local default dev 1 src 10.200.0.2",
		NftAddTable(1):                                              "nft add table inet cordon",
		NftAddChain(1, "c", Hook{}):                                 "nft add chain inet cordon c",
		NftAddSet(1, 1, "s", true, false, 9):                        "nft add set inet cordon s { size 9; }",
		NftElem(1, "s", "\x01\x02\x03\x04", false):                  "nft delete element inet cordon s",
		NftAddChain(1, "c", Hook{HookPrerouting, -150, true, true}): "nft add chain inet cordon c { type filter hook 0 priority -150; policy drop; }",
		NftAddRule(1, "c", NftTo("\x0a\x00\x00\x00", 8), NftPorts(80, 90), NftAccept()):           "nft add rule inet cordon c meta nfproto ipv4 ip daddr & 255.0.0.0 10.0.0.0 th dport >= 80 th dport <= 90 accept",
		NftAddRule(1, "c", NftTCP(), NftFirst(), NftProxy(1, true), NftAccept()):                  "nft add rule inet cordon c meta l4proto tcp tcp flags & 0x12 0x02 tproxy to :1 accept",
		NftAddRule(1, "c", NftNotTo("lo"), NftNoRoute()):                                          `nft add rule inet cordon c oifname != "lo" reject with icmpx no-route`,
		NftAddRule(1, "c", NftToSet("s", false), NftJump("r")):                                    "nft add rule inet cordon c meta nfproto ipv6 ip6 daddr @s jump r",
		NftAddRule(1, "c", NftRemember("s", true)):                                                "nft add rule inet cordon c meta nfproto ipv4 add @s { meta l4proto . ip daddr . th dport }",
		NftAddRule(1, "c", NftUDP(), NftProhibit()) + NftAddRule(2, "c", NftNotTCP(), NftReset()): "nft add rule inet cordon c meta l4proto udp reject with icmpx admin-prohibited",
	} {
		if got := NetlinkText(message); len(got) == 0 || got[0] != want {
			t.Errorf("%q\nwant %q", got, want)
		}
	}
}

// The launcher finds an answer by its number. If there is garbage between the answers, the reading ends.
func TestAnswers(t *testing.T) {
	answer := func(seq uint32, errno int32) string {
		m := begin(MsgError, 0, seq)
		m.b = binary.NativeEndian.AppendUint32(m.b, uint32(-errno))
		return m.end()
	}
	got := Answers([]byte(answer(7, 95) + answer(8, 0) + "\x03\x00\x00\x00garbage garbage"))
	if len(got) != 2 || got[0] != (Answer{7, EOPNOTSUPP}) || got[1] != (Answer{8, 0}) {
		t.Errorf("%v", got)
	}
	for _, cut := range []int{0, 3, 15, 17} {
		if got := Answers([]byte(answer(7, 95))[:cut]); got != nil {
			t.Errorf("%d bytes: %v", cut, got)
		}
	}
}

// Only the last message of a batch asks for an answer.
func TestBatch(t *testing.T) {
	var flags []uint16
	b := NftBatch(9, []string{NftAddTable(1), NftAddChain(2, "c", Hook{})})
	for rest := []byte(b); len(rest) > 0; rest = rest[(binary.NativeEndian.Uint32(rest)+3)&^3:] {
		flags = append(flags, binary.NativeEndian.Uint16(rest[6:])&flagAck)
	}
	if len(flags) != 4 || flags[0]|flags[1]|flags[3] != 0 || flags[2] != flagAck {
		t.Errorf("%v", flags)
	}
}
