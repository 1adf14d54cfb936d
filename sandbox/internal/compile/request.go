package compile

// What a plan is compiled for: a command as data. Nothing is read of the caller's process: whoever makes a Request has
// looked at the environment and at the files.

import (
	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/attach"
	"cordon/sandbox/ledger"
)

// Request is the command.
type Request struct {
	Args     []string
	Env      []string      // NAME=VALUE; with Into: what is set over the sandbox's own
	Stdio    [3]host.Stdio // standard input, output and error
	Extra    []host.Stdio  // entry i becomes descriptor 3+i
	Terminal bool          // the task gets a terminal of its own, whatever Stdio and the profile say
	Recorded bool          // what is shown there is recorded
	Keep     bool          // the launcher keeps what it takes to start other programs in the sandbox
	Into     *attach.Attached
	Dir      string // with Into: the working directory, inside; "" is the sandbox's own

	Profiles []ledger.Text // the files that the profile was read from: the task cannot write them
	Search   []string      // where profiles are looked for: the task cannot write or make these directories

	TaskID int    // the task's uid and gid on the host, where root starts it; 0 in a plan that is only printed
	Nonce  uint64 // of the launcher's execveat; 0 in a plan that is only printed

	Observed bool         // somebody watches the task in the place of the profile's filter
	Watch    *filter.Spec // the filter that the observer asks for; nil for none

	Groups  *Groups                 // what the launcher has made of the choice; nil where nothing is run
	MakeDir func(path string) error // makes a directory that the task could make; nil where nothing is run
	Exposed bool                    // for tests: a program that joins a sandbox is not concealed from whoever is inside
}

// StdinOwner is the user whose regular file on standard input the task opens again; -1 for none.
func StdinOwner(p *policy.Profile, h *host.Host) int {
	if h.UID == 0 && p.User.Host != policy.HostCaller {
		return -1
	}
	return h.UID
}
