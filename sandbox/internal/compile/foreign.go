package compile

// Files of an overlay's lower directory that no task can change: overlayfs copies a file with its owner and its group,
// and refuses with EOVERFLOW if the user namespace has no id for one of them (user_namespaces(7)).

import (
	"strconv"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/paths"
)

// foreignLooks bounds how many entries of a lower directory are looked at before the start.
const foreignLooks = 2000

// noteForeign says before the start that the lower directory holds a file of the caller's own in a group for which the
// sandbox has no id. A file of another user is not looked for, since its mode keeps the task from changing it.
func (c *Compilation) noteForeign(lower string) {
	if !c.IDs.NewUser {
		return
	}
	looks, dirs := 0, []string{lower}
	for len(dirs) > 0 && looks < foreignLooks {
		dir := dirs[0]
		dirs = dirs[1:]
		entries, err := c.Host.Files.ReadDir(dir)
		if err != nil {
			continue // the task cannot read it either
		}
		for _, e := range entries {
			if looks++; looks > foreignLooks {
				break
			}
			info, err := e.Info()
			if err != nil {
				continue
			}
			path := paths.Join(dir, e.Name())
			if st, ok := host.StatOf(info); ok && int(st.Uid) == c.Host.UID && int(st.Gid) != c.Host.GID {
				c.note("the overlay of " + lower + " cannot change files of other groups, such as " + path + " (group " + strconv.Itoa(int(st.Gid)) +
					"): the sandbox has no id for the group, and to open one for writing fails")
				return
			}
			if info.IsDir() {
				dirs = append(dirs, path)
			}
		}
	}
}

// note keeps a sentence for Report.Notes, once.
func (c *Compilation) note(text string) {
	for _, t := range c.Notes {
		if t == text {
			return
		}
	}
	c.Notes = append(c.Notes, text)
}
