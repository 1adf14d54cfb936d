package filter

import (
	"strings"
	"testing"
)

func TestExpr(t *testing.T) {
	for _, c := range []struct {
		call, expr string
		args       [6]uint64
		want       bool
	}{
		{"socket", "in(family, AF_UNIX, AF_INET, AF_INET6) && protocol != IPPROTO_MPTCP", [6]uint64{2, 1, 6}, true},
		{"socket", "in(family, AF_UNIX, AF_INET, AF_INET6) && protocol != IPPROTO_MPTCP", [6]uint64{2, 1, 262}, false},
		{"socket", "family == AF_NETLINK && (type & 0xf == SOCK_RAW || type & 0xf == SOCK_DGRAM) && protocol == NETLINK_ROUTE", [6]uint64{16, 3 | 0x80000, 0}, true},
		{"ioctl", "uint32(cmd) != TIOCSTI && uint32(cmd) != TIOCLINUX", [6]uint64{0, 1<<63 | 0x5412}, false},
		{"clone", "flags & CLONE_NEW_ANY == 0", [6]uint64{0x00010f00}, true},
		{"clone", "flags & CLONE_NEW_ANY == 0", [6]uint64{0x10000011}, false},
		{"mmap", "mask(prot, PROT_WRITE|PROT_EXEC) != PROT_WRITE|PROT_EXEC", [6]uint64{0, 0, 7}, false},
		{"mmap", "mask(prot, PROT_WRITE|PROT_EXEC) != PROT_WRITE|PROT_EXEC", [6]uint64{0, 0, 5}, true},
		{"personality", "in(persona, PER_LINUX, PER_LINUX32, ADDR_NO_RANDOMIZE, 0xffffffff)", [6]uint64{1<<64 - 1}, true},
		{"openat", "flags & (O_CREAT|O_WRONLY|O_RDWR|O_TRUNC) == O_RDONLY", [6]uint64{0, 0, 0x80000}, true},
		{"openat", "!(flags & O_CREAT != 0) || mode & ^0777 == 0", [6]uint64{0, 0, 0x40, 04755}, false},
		{"kill", "pid == -1 || pid < -1", [6]uint64{0xfffffffe}, true},
		{"kill", "pid > 0 && sig <= SIGSYS", [6]uint64{1, 9}, true},
		{"lseek", "offset >= 0 && offset <= 1<<40", [6]uint64{0, 1 << 40}, true},
		{"lseek", "offset >= 0 && offset <= 1<<40", [6]uint64{0, 1<<40 + 1}, false},
		{"lseek", "offset < 0", [6]uint64{0, 1 << 63}, true},
		{"prctl", "op == PR_SET_NAME || op == PR_SET_VMA && arg2 == 0", [6]uint64{0x53564d41, 0}, true},
		{"keyctl", "op == KEYCTL_READ && arg2 == 5", [6]uint64{11, 5}, true},
		{"mmap", "length / 4096 < 256 && length % 4096 == 0", [6]uint64{0, 255 * 4096}, true},
		{"mmap", "length / 4096 < 256 && length % 4096 == 0", [6]uint64{0, 255*4096 + 1}, false},
		{"mremap", "old_size == new_size", [6]uint64{0, 1 << 40, 1 << 40}, true},
		{"mremap", "old_size < new_size", [6]uint64{0, 1<<40 + 7, 1<<40 + 8}, true},
		{"mremap", "old_size >= new_size", [6]uint64{0, 1, 1 << 40}, false},
		{"setresuid", "ruid == euid && euid == suid", [6]uint64{1000, 1000, 1<<32 | 1000}, true},
		{"prctl", "arg2 & 3 == 3", [6]uint64{0, 1}, false},
		{"prctl", "arg2 & 3 == 3", [6]uint64{0, 7}, true},
		{"prctl", "arg2 & 4 == 4 && arg3 & 4 == 0", [6]uint64{0, 4, 4}, false},
		{"prctl", "arg2 == 4 && arg3 == 4 || arg3 == 5", [6]uint64{0, 3, 5}, true},
		{"prctl", "1 == 1", [6]uint64{}, true},
		{"prctl", "AF_INET < AF_UNIX", [6]uint64{}, false},
		{"prctl", "in(3, 1, 2, 3,)", [6]uint64{}, true},
		{"prctl", "-8 / 3 == -2 && -8 % 3 == -2 && 1<<63>>63 == 1 && -1>>5 == -1 && 6 &^ 2 == 4 && ^0 == -1 && ~1 == -2 && +3 == 3 && 2*3-1 == 5", [6]uint64{}, true},
		{"prctl", "0x_ff == 0b1111_1111 && 0o17 == 017", [6]uint64{}, true},
		{"kcmp", "type == 0", [6]uint64{1, 1, 0}, true}, // an argument has the name of a keyword of Go
	} {
		k := &conds{}
		r, err := parseExpr(k, c.expr, callID(c.call), AMD64)
		if err != nil {
			t.Errorf("%s: %s: %v", c.call, c.expr, err)
			continue
		}
		if got := k.eval(r, &Data{Args: c.args}); got != c.want {
			t.Errorf("%s: %s with %#x: %v", c.call, c.expr, c.args, got)
		}
		p, n := onlyRule(t, c.call, c.expr, AMD64)
		if got := p.Action(&Data{Nr: n, Arch: AMD64.Audit(), Args: c.args}).Kind == Allow; got != c.want {
			t.Errorf("%s: %s with %#x: the program says %v", c.call, c.expr, c.args, got)
		}
	}
}

func TestExprErrors(t *testing.T) {
	for _, c := range []struct{ call, expr, want string }{
		{"openat", "pathname == 0", `column 1: argument pathname of openat is a pointer: what it points to can change after the check (reg1 is the address itself)`},
		{"socket", "famliy == 1", `column 1: unknown name "famliy" (did you mean family?)`},
		{"socket", "family == AF_INTE", `column 11: unknown name "AF_INTE" (did you mean AF_INET?)`},
		{"socket", "zzz", `column 1: unknown name "zzz" (socket has family, type, protocol)`},
		{"getpid", "zzzzzzz == 1", `column 1: unknown name "zzzzzzz" (getpid has no arguments)`},
		{"socket", "family", `column 1: the expression is an argument, not a condition (compare it, for example with != 0)`},
		{"socket", "1", `column 1: the expression is a constant, not a condition`},
		{"socket", "", `column 1: expected an operand, found end of the expression`},
		{"socket", "family = 1", `column 8: unexpected "=": comparison is ==`},
		{"socket", "family == 1 &&", `column 15: expected an operand, found end of the expression`},
		{"socket", "(family == 1", `column 13: expected ), found end of the expression`},
		{"socket", "family == 1)", `column 12: unexpected ")"`},
		{"socket", "family == 1 protocol", `column 13: unexpected "protocol"`},
		{"socket", "family == é", `column 11: expected an operand, found "é"`},
		{"socket", "family == 'a'", `column 11: expected an operand, found "'"`},
		{"socket", "family == 1.5", `column 12: unexpected "."`},
		{"socket", "family == 08", `column 11: malformed number "08"`},
		{"socket", "family == 18446744073709551616", `column 11: 18446744073709551616 does not fit in 64 bits`},
		{"socket", "family == 0x100000000", `column 8: the constant does not fit in the 32-bit argument: it is never equal`},
		{"socket", "in(family, 1, 0x100000000)", `column 1: the constant does not fit in the 32-bit argument: it is never equal`},
		{"socket", "family & 0x100000000 == 0", `column 8: the constant does not fit in the 32-bit argument`},
		{"socket", "family < 1<<40", `column 8: the range of the argument is from -2147483648 to 2147483647: the result never changes`},
		{"ioctl", "cmd < -1", `column 5: the range of the argument is from 0 to 4294967295: the result never changes`},
		{"chmod", "mode == 0x10000", `column 6: the constant does not fit in the 16-bit argument: it is never equal`},
		{"setuid", "uid < 0", `column 5: the range of the argument is from 0 to 4294967295: the result never changes`},
		{"setuid", "0 <= uid", `column 3: the range of the argument is from 0 to 4294967295: the result never changes`},
		{"setuid", "uid > 0xffffffff", `column 5: the range of the argument is from 0 to 4294967295: the result never changes`},
		{"socket", "family == 1 || family & 3 == 7", `column 27: the constant has bits that the masked or shifted argument cannot have: it is never equal`},
		{"socket", "family & 0x10 != 0x20", `column 15: the constant has bits that the masked or shifted argument cannot have: it is never equal`},
		{"socket", "mask(type, 0xf) == 0x10", `column 17: the constant has bits that the masked or shifted argument cannot have: it is never equal`},
		{"socket", "in(type & 0xf, 1, 0x11)", `column 1: the constant has bits that the masked or shifted argument cannot have: it is never equal`},
		{"mmap", "length % 4096 == 5000", `column 15: the constant has bits that the masked or shifted argument cannot have: it is never equal`},
		{"mmap", "length >> 12 == 1<<60", `column 14: the constant has bits that the masked or shifted argument cannot have: it is never equal`},
		{"mmap", "length == fd", `column 8: two arguments of which one may be negative cannot be compared so (convert both to uint32)`},
		{"socket", "family < type", `column 8: two arguments of which one may be negative cannot be compared so (convert both to uint32)`},
		{"mmap", "length + 1 == offset", `column 12: two arguments can be compared bare or masked, not shifted or added to`},
		{"socket", "family + type == 3", `column 8: two arguments cannot be combined`},
		{"socket", "family & 1", `column 1: the expression is an argument, not a condition (compare it, for example with != 0)`},
		{"socket", "family && type == 1", `column 1: && and || need conditions, this is an argument (for bits there are & and |)`},
		{"socket", "!family", `column 1: ! needs a condition, this is an argument (for bits there is ^)`},
		{"socket", "family == 1 == 2", `column 13: a condition is not a number (== binds tighter than && and ||, & tighter than ==; conditions join with && and ||)`},
		{"socket", "-family == 2", `column 1: an argument cannot be negated`},
		{"socket", "family * 3 == 6", `column 8: BPF cannot multiply or divide by this within a filter (powers of two work)`},
		{"socket", "family >> 3 == 6", `column 8: an argument that may be negative cannot be shifted to the right (uint32(…) makes it unsigned)`},
		{"socket", "1 / 0 == 1", `column 3: division by zero`},
		{"socket", "1 << 64 == 1", `column 3: the constant does not fit in 64 bits`},
		{"socket", "in(family)", `column 1: in needs an argument and at least one value`},
		{"socket", "in()", `column 1: in needs an argument and at least one value`},
		{"socket", "in(family, type)", `column 12: in needs constants after its first argument, this is an argument`},
		{"socket", "mask(family) == 1", `column 1: mask needs an argument and a mask`},
		{"socket", "foo(family) == 1", `column 1: unknown function "foo" (in, mask, uint8, uint16, uint32, uint64, int32, int64)`},
		{"socket", "uint32(family, 1) == 1", `column 1: uint32 needs one number`},
		{"socket", "uint64(family) == 1", `column 1: an argument that may be negative cannot be widened (compare it as it is, or convert it to uint32)`},
		{"socket", "reg6 == 1", `column 1: unknown name "reg6" (socket has family, type, protocol)`},
		{"socket", strings.Repeat("(", 100) + "family == 1", `column 65: nested too deeply`},
		{"socket", strings.Repeat("!", 100) + "true", `column 65: nested too deeply`},
		{"socket", strings.Repeat("family == 1 && ", 10000) + "true", `column 1: the expression is longer than 65536 bytes`},
		{"socket", "family <-1", `column 8: unexpected "<-"`},
		{"sokcet", "family == 1", `unknown system call "sokcet" (did you mean socket?)`},
	} {
		err := ParseExpr(c.call, c.expr)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %.60s:\n  %v\nwant\n  %s", c.call, c.expr, err, c.want)
		}
	}
	if err := ParseExpr("socket", "family == AF_INET"); err != nil {
		t.Error(err)
	}
}

func TestCheckRule(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{Call: "socket", Expr: "family == 1"}, ""},
		{Rule{Call: "@clock", Expr: "errno(EPERM)"}, ""},
		{Rule{Call: "open", Expr: "flags == 0"}, ""},
		{Rule{Call: "socket", Expr: "famly == 1", From: "x:1"}, `x:1: column 1: unknown name "famly" (did you mean family?)`},
		{Rule{Call: "sokcet", Expr: "allow", From: "x:1"}, `x:1: unknown system call "sokcet" (did you mean socket?)`},
	} {
		got := ""
		if err := CheckRule(c.rule); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.rule, got, c.want)
		}
	}
}

// TestHostileExpr checks that the parser ends soon for a hostile expression, with an error or with a condition of
// bounded size.
func TestHostileExpr(t *testing.T) {
	for _, s := range []string{
		strings.Repeat("reg0 == 1 || ", 5000) + "true",
		strings.Repeat("reg0&1 == 1 && reg1 == 2 || ", 2000) + "true",
		strings.Repeat("!(reg0 == 1 && reg1 == 2 || ", 30) + "reg2 == 1" + strings.Repeat(")", 30),
		"in(reg0" + strings.Repeat(", 0x123456789", 4000) + ")",
	} {
		k := &conds{}
		if _, err := parseExpr(k, s, callID("read"), AMD64); err != nil && err.Msg != "the conditions are too large" {
			t.Errorf("%.40s: %v", s, err)
		}
		if len(k.nodes) > maxNodes || len(k.cases) > 5*maxNodes {
			t.Errorf("%.40s: %d nodes, %d cases", s, len(k.nodes), len(k.cases))
		}
	}
}
