package proc

import "testing"

func TestParseKilled(t *testing.T) {
	const head = "5,1743,431204796,-;audit: type=1326 audit(1796071540.795:28): auid=4294967295 uid=1653 gid=1653 ses=4294967295 "
	const good = head + `pid=30473 comm="probe" exe="/tmp/x" sig=31 arch=40000003 syscall=359 compat=1 ip=0x401f84 code=0x80000000`
	k, ok := parseKilled([]byte(good + "\n SUBSYSTEM=x\n"))
	if !ok || k.PID != 30473 || k.UID != 1653 || k.Arch != 0x40000003 || k.Nr != 359 || k.At.UnixMilli() != 1796071540795 {
		t.Errorf("%+v %v", k, ok)
	}
	for what, record := range map[string]string{
		"a program's message":    "12" + good[1:], // facility 1
		"a call that was denied": head + `pid=1 comm="x" exe="/x" sig=0 arch=c000003e syscall=1 compat=0 ip=0x1 code=0x50000`,
		"another message":        "6,1,2,-;overlayfs: audit: type=1326 audit(1.0:1): sig=31 arch=c000003e",
		"another type":           "5,1,2,-;audit: type=1400 audit(1.0:1): sig=31 arch=c000003e",
		"no time":                "5,1,2,-;audit: type=1326 audit(x): sig=31 arch=c000003e",
		"no architecture":        head + "sig=31 syscall=1",
		"nothing":                "",
	} {
		if k, ok := parseKilled([]byte(record)); ok {
			t.Errorf("%s: %+v", what, k)
		}
	}
}
