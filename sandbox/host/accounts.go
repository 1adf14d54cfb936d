package host

// passwd(5): the password database of the host. It says who a user is; LOGNAME, USER and HOME only say what somebody set.

import (
	"strconv"
	"strings"

	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/proc"
)

// Account is a line of the password database.
type Account struct {
	Name string
	UID  int
	GID  int
	Home string // made clean; "" if it is not absolute
}

// PasswdFile is read, never asked for through nsswitch.conf(5): a launcher without C has no other way.
const PasswdFile = "/etc/passwd"

// MaxPasswd is how much of the password database the launcher reads: about 50,000 accounts.
const MaxPasswd = 4 << 20

// Accounts returns the accounts of this host's password database.
func Accounts() ([]Account, error) {
	text, err := proc.Read(PasswdFile, MaxPasswd)
	if err != nil {
		return nil, err
	}
	var list []Account
	for line := range strings.Lines(string(text)) {
		if a, ok := ParseAccount(line); ok {
			list = append(list, a)
		}
	}
	return list, nil
}

// AccountOf returns the first account that has a uid, as getpwuid(3) does; the zero value if there is none.
func AccountOf(text string, uid int) Account {
	for line := range strings.Lines(text) {
		if a, ok := ParseAccount(line); ok && a.UID == uid {
			return a
		}
	}
	return Account{}
}

func ParseAccount(line string) (a Account, ok bool) {
	var f [6]string
	rest, more := strings.TrimRight(line, "\n"), true
	for i := range f {
		if !more {
			return a, false
		}
		f[i], rest, more = strings.Cut(rest, ":")
	}
	if f[0] == "" {
		return a, false
	}
	uid, err1 := strconv.Atoi(f[2])
	gid, err2 := strconv.Atoi(f[3])
	if err1 != nil || err2 != nil || uid < 0 || gid < 0 {
		return a, false
	}
	a = Account{Name: f[0], UID: uid, GID: gid}
	if strings.HasPrefix(f[5], "/") {
		a.Home = paths.Clean(f[5])
	}
	return a, true
}
