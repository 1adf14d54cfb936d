package policy

// This file contains the keys of root: and mounts:, for each form that the mapping may have.

var rootForms = []form[Root]{
	{kind: string(RootHost), doc: "the host's own tree, read-only with all its mounts", keys: []key[Root]{
		{spec: spec{name: "host", typ: tWord, words: []string{"ro"}, example: "ro",
			doc: "The host's own tree, read-only with all its mounts."}},
		{spec: spec{name: "overlay", typ: tUpper, def: "none", example: "tmp",
			doc:   overlayDoc,
			flags: []flag{{"overlay", "tmp|DIR", "where writes to the root go"}}},
			at: rootOverlayAt},
		{spec: spec{name: "enter", typ: tWord, words: enterWords, def: "pivot", example: "chroot",
			doc:   enterDoc,
			flags: []flag{{"enter", "pivot|chroot", "how the sandbox enters the root"}}},
			at: rootEnterAt},
	}},
	{kind: string(RootDir), doc: "a directory that holds a root file system", keys: []key[Root]{
		{spec: spec{name: "dir", typ: tSource, example: "/srv/rootfs",
			doc: "A directory of the host that holds a root file system."},
			at: func(r *Root) any { return &r.Dir }},
		{spec: spec{name: "mode", typ: tWord, words: modeWords, def: "ro", example: "rw",
			doc:   "`rw` makes it writable.",
			flags: []flag{{"root-mode", "ro|rw", "whether the root directory is writable"}}},
			at: func(r *Root) any { return &r.Write }},
		{spec: spec{name: "overlay", typ: tUpper, def: "none", example: "tmp", twin: "overlay",
			doc: overlayDoc},
			at: rootOverlayAt},
		{spec: spec{name: "enter", typ: tWord, words: enterWords, def: "pivot", example: "chroot", twin: "enter",
			doc: enterDoc},
			at: rootEnterAt},
	}},
	{kind: string(RootEmpty), doc: "an empty tmpfs, read-only once the mounts are in place", keys: []key[Root]{
		{spec: spec{name: "empty", typ: tWord, words: []string{"true"}, example: "true",
			doc: "An empty tree that holds only the mounts."}},
		{spec: spec{name: "enter", typ: tWord, words: enterWords, def: "pivot", example: "chroot", twin: "enter",
			doc: enterDoc},
			at: rootEnterAt},
	}},
}

const (
	ociLists   = "the list of the OCI runtime specification"
	overlayDoc = "Where writes go: `tmp`, a tmpfs that is lost at the end, or a directory of the host that keeps them."
	enterDoc   = "How the sandbox enters the root: `pivot` is pivot_root(2); `chroot` is for an initramfs, where pivot_root(2) fails."
)

func rootOverlayAt(r *Root) any { return &r.Overlay }
func rootEnterAt(r *Root) any   { return &r.Enter }

var mountForms = []form[Mount]{
	{kind: string(MountBind), doc: "a file or directory of the host", keys: []key[Mount]{
		{spec: spec{name: "bind", typ: tSource, example: ".",
			doc: "The path on the host."},
			at: mountSource},
		{spec: spec{name: "target", typ: tPath, def: "the same path", example: "/src",
			doc: "The path in the sandbox."},
			at: mountTarget},
		{spec: spec{name: "mode", typ: tWord, words: modeWords, def: "ro", example: "rw",
			doc: "`rw` makes it writable."},
			at: func(m *Mount) any { return &m.Write }},
		{spec: spec{name: "noexec", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Nothing below it can be executed."},
			at: mountNoExec},
		{spec: spec{name: "unfit", typ: tWord, words: UnfitWords, def: "bind", example: "refuse",
			doc: "What to do if the path is unsuited as a working directory: a home, a directory above a home " +
				"or, for root, a directory of the system. `bind` mounts it all the same, `skip` leaves the " +
				"mount out, `refuse` is an error. A later bind of the same path overrides this."},
			at: func(m *Mount) any { return &m.Unfit }},
		{spec: spec{name: "live", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "cordon shows some read-only directories through an overlay; `true` shows the directory " +
				"itself. See [Sockets of the host](#sockets-of-the-host)."},
			at: func(m *Mount) any { return &m.Live }},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Skip this mount if its source does not exist."},
			at: mountOptional},
	}},
	{kind: string(MountTmpfs), doc: "an empty tmpfs", keys: []key[Mount]{
		{spec: spec{name: "tmpfs", typ: tPath, example: "/tmp",
			doc: "Where to mount it."},
			at: mountTarget},
		{spec: spec{name: "size", typ: tSize, min: minMemory, def: "half of memory", example: "1GiB",
			doc: "How much it can hold."},
			at: func(m *Mount) any { return &m.Size }},
		{spec: spec{name: "mode", typ: tPerm, def: `"0755"`, example: `"1777"`,
			doc: "Permission bits."},
			at: mountPerm},
		{spec: spec{name: "noexec", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Nothing below it can be executed."},
			at: mountNoExec},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Skip this mount if its target does not exist and cannot be made."},
			at: mountOptional},
	}},
	{kind: string(MountEmpty), doc: "an empty directory, read-only", keys: []key[Mount]{
		{spec: spec{name: "empty", typ: tPath, example: "/mnt",
			doc: "The directory's path. Later mounts may put something below it."},
			at: mountTarget},
		{spec: spec{name: "mode", typ: tPerm, def: `"0755"`, example: `"0700"`,
			doc: "Permission bits."},
			at: mountPerm},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Skip this mount if its target does not exist and cannot be made."},
			at: mountOptional},
	}},
	{kind: string(MountProc), doc: "a proc file system that shows the sandbox's processes", keys: []key[Mount]{
		{spec: spec{name: "proc", typ: tPath, example: "/proc",
			doc: "Where to mount it."},
			at: mountTarget},
		{spec: spec{name: "hidepid", typ: tWord, words: HidepidWords, def: "off", example: "invisible",
			doc: "The option hidepid of proc(5). These names need Linux 5.8."},
			at: func(m *Mount) any { return &m.Hidepid }},
		{spec: spec{name: "mask", typ: tPath, list: true, def: ociLists, example: "[/proc/kcore]",
			doc: "Paths below it that the sandbox sees as empty."},
			at: func(m *Mount) any { return &m.Mask }},
		{spec: spec{name: "read-only", typ: tPath, list: true, def: ociLists, example: "[/proc/sys]",
			doc: "Paths below it that cannot be written."},
			at: func(m *Mount) any { return &m.ReadOnly }},
	}},
	{kind: string(MountDev), doc: "a minimal /dev: null zero full random urandom tty, pts, shm, fd", keys: []key[Mount]{
		{spec: spec{name: "dev", typ: tPath, example: "/dev",
			doc: "Where to mount it."},
			at: mountTarget},
	}},
	{kind: string(MountMqueue), doc: "the POSIX message queues of the sandbox's ipc namespace", keys: []key[Mount]{
		{spec: spec{name: "mqueue", typ: tPath, example: "/dev/mqueue",
			doc: "Where to mount it."},
			at: mountTarget},
	}},
	{kind: string(MountSysfs), doc: "sysfs, read-only", keys: []key[Mount]{
		{spec: spec{name: "sysfs", typ: tPath, example: "/sys",
			doc: "Where to mount it."},
			at: mountTarget},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Skip this mount if its target does not exist and cannot be made."},
			at: mountOptional},
	}},
	{kind: string(MountOverlay), doc: "a directory of the host; changes to it go elsewhere", keys: []key[Mount]{
		{spec: spec{name: "overlay", typ: tPath, example: "/usr",
			doc: "Where to mount it."},
			at: mountTarget},
		{spec: spec{name: "lower", typ: tSource, def: "the same path", example: "/usr",
			doc: "The directory of the host that shows through."},
			at: mountSource},
		{spec: spec{name: "upper", typ: tUpper, def: "tmp", example: "tmp",
			doc: "Where changes go: `tmp`, which is lost at the end, or a directory of the host that keeps " +
				"them."},
			at: func(m *Mount) any { return &m.Upper }},
	}},
	{kind: string(MountSymlink), doc: "a symbolic link", keys: []key[Mount]{
		{spec: spec{name: "symlink", typ: tPath, example: "/bin",
			doc: "The link's path."},
			at: mountTarget},
		{spec: spec{name: "to", typ: tLink, example: "usr/bin",
			doc: "The link's text; required."},
			at: mountSource},
	}},
	{kind: string(MountDir), doc: "a directory, made if it does not exist", keys: []key[Mount]{
		{spec: spec{name: "dir", typ: tPath, example: "/var/empty",
			doc: "The directory's path."},
			at: mountTarget},
		{spec: spec{name: "mode", typ: tPerm, def: `"0755"`, example: `"0700"`,
			doc: "Permission bits. With this key the directory must not exist yet."},
			at: mountPerm},
	}},
	{kind: string(MountFile), doc: "a file with the given text", keys: []key[Mount]{
		{spec: spec{name: "file", typ: tPath, example: "/etc/issue",
			doc: "The file's path."},
			at: mountTarget},
		{spec: spec{name: "content", typ: tContent, def: "empty", example: `"hello\n"`,
			doc: "The file's text."},
			at: func(m *Mount) any { return &m.Content }},
		{spec: spec{name: "mode", typ: tPerm, def: `"0644"`, example: `"0600"`,
			doc: "Permission bits."},
			at: mountPerm},
	}},
	{kind: string(MountGenerate), doc: "a file of /etc that cordon makes for the sandbox", keys: []key[Mount]{
		{spec: spec{name: "generate", typ: tWord, words: generateWords, example: "/etc/passwd",
			doc: "The file that cordon makes."},
			at: mountTarget},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Skip this file if its target does not exist and cannot be made."},
			at: mountOptional},
	}},
}

func mountSource(m *Mount) any { return &m.Source }
func mountTarget(m *Mount) any { return &m.Target }
func mountNoExec(m *Mount) any { return &m.NoExec }
func mountPerm(m *Mount) any   { return &m.Perm }

func mountOptional(m *Mount) any { return &m.Optional }
