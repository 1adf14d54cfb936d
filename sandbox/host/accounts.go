package host

import "cordon/sandbox/internal/passwd"

// Account is one line of the password database.
type Account = passwd.Account

// Accounts returns the accounts of this host's password database.
func Accounts() ([]Account, error) { return passwd.All() }
