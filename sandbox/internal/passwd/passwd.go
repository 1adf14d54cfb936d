// Package passwd reads the password database of the host: passwd(5). The database says who a user is; LOGNAME, USER and
// HOME only say what somebody set.
package passwd

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

// File is read, never asked for through nsswitch.conf(5): a launcher without C has no other way.
const File = "/etc/passwd"

// MaxSize is how much of the password database the launcher reads: about 50,000 accounts.
const MaxSize = 4 << 20

// All returns the accounts of this host's password database.
func All() ([]Account, error) {
	text, err := proc.Read(File, MaxSize)
	if err != nil {
		return nil, err
	}
	var list []Account
	for line := range strings.Lines(string(text)) {
		if a, ok := Parse(line); ok {
			list = append(list, a)
		}
	}
	return list, nil
}

// Find returns the first account with the given uid in a text, as getpwuid(3) does, or the zero value if there is none.
func Find(text string, uid int) Account {
	for line := range strings.Lines(text) {
		if a, ok := Parse(line); ok && a.UID == uid {
			return a
		}
	}
	return Account{}
}

// Home returns the home directory of a user in this host's password database, made clean; "" if the database has none.
func Home(uid int) string {
	text, err := proc.Read(File, MaxSize)
	if err != nil {
		return ""
	}
	return Find(string(text), uid).Home
}

// Parse reads a line of the database; ok is false if the line is no account.
func Parse(line string) (a Account, ok bool) {
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
