package launch

import "testing"

func TestSnmp(t *testing.T) {
	text := []byte("Ip: Forwarding OutNoRoutes\nIp: 1 12\nIcmp: InMsgs\nIcmp: 4\nUdp: InDatagrams NoPorts\nUdp: 3 2\nUdpLite: NoPorts\nUdpLite: 9\n")
	for _, tt := range []struct {
		proto, name string
		want        int
	}{{"Ip:", "OutNoRoutes", 12}, {"Udp:", "NoPorts", 2}, {"Udp:", "OutNoRoutes", 0}, {"Tcp:", "NoPorts", 0}} {
		if got := snmp(text, tt.proto, tt.name); got != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.proto, tt.name, got, tt.want)
		}
	}
	if got := snmp([]byte("Ip: A B\nIp: 1\n"), "Ip:", "B"); got != 0 {
		t.Errorf("a short line: %d", got)
	}
}
