package compile

// Limits of a user that the task shares with its caller: namespaces(7) (/proc/sys/user, Linux 4.9), inotify(7).
//
// The kernel counts what a task has for the maker of its user namespace too, whoever the task is: root's sandboxes all count for
// root. A task that takes all of the caller's inotify instances, of which a user has 128, leaves none to the caller's desktop or
// to root's services. So the sandbox's own user namespace has a lower limit.

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/plan"
)

// shareOfUser is what part of the caller's limit a sandbox gets.
const shareOfUser = 4

// sharedLimits are the files of /proc/sys/user that are lowered. Nobody needs a capability for what they count, and the
// filters of the shipped profiles allow it.
var sharedLimits = [...]string{"max_inotify_instances", "max_inotify_watches"}

// userLimits lowers the limits while the child has all capabilities in its user namespace. In a container /proc/sys may be
// read-only; then the caller's own limit is all there is.
func (c *Compilation) userLimits() error {
	if c.made&unix.CLONE_NEWUSER == 0 {
		return nil
	}
	for _, name := range sharedLimits {
		text, err := c.launcherFiles().Read("/proc/sys/user/"+name, 24)
		if err != nil {
			continue // a kernel without it has no such limit
		}
		limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || limit < shareOfUser {
			continue
		}
		dir, path := c.ownProc("sys/user/" + name)
		c.do(own("user limits"),
			plan.OpenStep(dir, path, unix.O_WRONLY|unix.O_CLOEXEC, 0).Into(plan.File).OrElse(plan.EROFS),
			plan.WriteStep(plan.R(plan.File), strconv.Itoa(limit/shareOfUser)).OrElse(plan.EBADF),
			plan.CloseStep(plan.R(plan.File)).OrElse(plan.EBADF))
	}
	return nil
}
