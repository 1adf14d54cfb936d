package policy

// The keys of root: and mounts:, each in the forms that a mapping may take.

var rootForms = []form[Root]{
	{kind: string(RootHost), doc: "the host's own tree, read-only, with everything mounted in it", keys: []key[Root]{
		{spec: spec{name: "host", typ: tWord, words: []string{"ro"}, example: "ro",
			doc: "The host's own tree, read-only, recursively."}},
		{spec: spec{name: "overlay", typ: tUpper, def: "none", example: "tmp",
			doc:   overlayDoc,
			flags: []flag{{"overlay", "tmp|DIR", "where writes to the root go"}}},
			at: rootOverlayAt},
		{spec: spec{name: "enter", typ: tWord, words: enterWords, def: "pivot", example: "chroot",
			doc:   enterDoc,
			flags: []flag{{"enter", "pivot|chroot", "how the root is entered"}}},
			at: rootEnterAt},
	}},
	{kind: string(RootDir), doc: "a directory that holds a root file system", keys: []key[Root]{
		{spec: spec{name: "dir", typ: tSource, example: "/srv/rootfs",
			doc: "A directory of the host that holds a root file system."},
			at: func(r *Root) any { return &r.Dir }},
		{spec: spec{name: "mode", typ: tWord, words: modeWords, def: "ro", example: "rw",
			doc:   "Read-only, or writable.",
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
			doc: "An empty tree; only the mounts are in it."}},
		{spec: spec{name: "enter", typ: tWord, words: enterWords, def: "pivot", example: "chroot", twin: "enter",
			doc: enterDoc},
			at: rootEnterAt},
	}},
}

const (
	ociLists   = "what the OCI runtime specification lists"
	overlayDoc = "Writes go to `tmp`, a tmpfs, and vanish; or to a directory of the host that keeps them."
	enterDoc   = "`pivot` is pivot_root(2); `chroot` is for an initramfs, where pivot_root cannot work."
)

func rootOverlayAt(r *Root) any { return &r.Overlay }
func rootEnterAt(r *Root) any   { return &r.Enter }

var mountForms = []form[Mount]{
	{kind: string(MountBind), doc: "a file or directory of the host", keys: []key[Mount]{
		{spec: spec{name: "bind", typ: tSource, example: ".",
			doc: "The path on the host."},
			at: mountSource},
		{spec: spec{name: "target", typ: tPath, def: "the same path", example: "/src",
			doc: "Where it appears."},
			at: mountTarget},
		{spec: spec{name: "mode", typ: tWord, words: modeWords, def: "ro", example: "rw",
			doc: "Read-only, or writable."},
			at: func(m *Mount) any { return &m.Write }},
		{spec: spec{name: "noexec", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Nothing in it can be executed."},
			at: mountNoExec},
		{spec: spec{name: "unfit", typ: tWord, words: UnfitWords, def: "bind", example: "refuse",
			doc: "Where the path is no place to work in (a home, what is above one; for root, a directory of the " +
				"system): `bind` it all the same, `skip` the mount, or `refuse` to start. A later bind of the same " +
				"path insists."},
			at: func(m *Mount) any { return &m.Unfit }},
		{spec: spec{name: "live", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "A read-only directory is not shown through an overlay: see below."},
			at: func(m *Mount) any { return &m.Live }},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Nothing is mounted where the source does not exist."},
			at: mountOptional},
	}},
	{kind: string(MountTmpfs), doc: "an empty tmpfs", keys: []key[Mount]{
		{spec: spec{name: "tmpfs", typ: tPath, example: "/tmp",
			doc: "Where it is mounted."},
			at: mountTarget},
		{spec: spec{name: "size", typ: tSize, min: minMemory, def: "half of memory", example: "1GiB",
			doc: "How much it may hold."},
			at: func(m *Mount) any { return &m.Size }},
		{spec: spec{name: "mode", typ: tPerm, def: `"0755"`, example: `"1777"`,
			doc: "Permission bits."},
			at: mountPerm},
		{spec: spec{name: "noexec", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Nothing in it can be executed."},
			at: mountNoExec},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Nothing is mounted where the target does not exist and cannot be made."},
			at: mountOptional},
	}},
	{kind: string(MountEmpty), doc: "an empty directory, read-only", keys: []key[Mount]{
		{spec: spec{name: "empty", typ: tPath, example: "/mnt",
			doc: "Where it is mounted. What later mounts put below it is there."},
			at: mountTarget},
		{spec: spec{name: "mode", typ: tPerm, def: `"0755"`, example: `"0700"`,
			doc: "Permission bits."},
			at: mountPerm},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Nothing is mounted where the target does not exist and cannot be made."},
			at: mountOptional},
	}},
	{kind: string(MountProc), doc: "proc of the sandbox's own processes", keys: []key[Mount]{
		{spec: spec{name: "proc", typ: tPath, example: "/proc",
			doc: "Where it is mounted."},
			at: mountTarget},
		{spec: spec{name: "hidepid", typ: tWord, words: HidepidWords, def: "off", example: "invisible",
			doc: "hidepid= of proc(5); the names need Linux 5.8."},
			at: func(m *Mount) any { return &m.Hidepid }},
		{spec: spec{name: "mask", typ: tPath, list: true, def: ociLists, example: "[/proc/kcore]",
			doc: "Paths in it that are made empty."},
			at: func(m *Mount) any { return &m.Mask }},
		{spec: spec{name: "read-only", typ: tPath, list: true, def: ociLists, example: "[/proc/sys]",
			doc: "Paths in it that are made read-only."},
			at: func(m *Mount) any { return &m.ReadOnly }},
	}},
	{kind: string(MountDev), doc: "a minimal /dev: null zero full random urandom tty, pts, shm, fd", keys: []key[Mount]{
		{spec: spec{name: "dev", typ: tPath, example: "/dev",
			doc: "Where it is mounted."},
			at: mountTarget},
	}},
	{kind: string(MountMqueue), doc: "POSIX message queues of the own ipc namespace", keys: []key[Mount]{
		{spec: spec{name: "mqueue", typ: tPath, example: "/dev/mqueue",
			doc: "Where it is mounted."},
			at: mountTarget},
	}},
	{kind: string(MountSysfs), doc: "sysfs, read-only", keys: []key[Mount]{
		{spec: spec{name: "sysfs", typ: tPath, example: "/sys",
			doc: "Where it is mounted."},
			at: mountTarget},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Nothing is mounted where the target does not exist and cannot be made."},
			at: mountOptional},
	}},
	{kind: string(MountOverlay), doc: "a directory of the host whose changes go elsewhere", keys: []key[Mount]{
		{spec: spec{name: "overlay", typ: tPath, example: "/usr",
			doc: "Where it is mounted."},
			at: mountTarget},
		{spec: spec{name: "lower", typ: tSource, def: "the same path", example: "/usr",
			doc: "The directory of the host that is seen."},
			at: mountSource},
		{spec: spec{name: "upper", typ: tUpper, def: "tmp", example: "tmp",
			doc: "`tmp`: changes vanish; else the directory of the host that keeps them."},
			at: func(m *Mount) any { return &m.Upper }},
	}},
	{kind: string(MountSymlink), doc: "a symbolic link", keys: []key[Mount]{
		{spec: spec{name: "symlink", typ: tPath, example: "/bin",
			doc: "Where it is."},
			at: mountTarget},
		{spec: spec{name: "to", typ: tLink, example: "usr/bin",
			doc: "Its text; required."},
			at: mountSource},
	}},
	{kind: string(MountDir), doc: "a directory, if none is there", keys: []key[Mount]{
		{spec: spec{name: "dir", typ: tPath, example: "/var/empty",
			doc: "Where it is."},
			at: mountTarget},
		{spec: spec{name: "mode", typ: tPerm, def: `"0755"`, example: `"0700"`,
			doc: "Permission bits; then it must not exist yet."},
			at: mountPerm},
	}},
	{kind: string(MountFile), doc: "a file with the text given", keys: []key[Mount]{
		{spec: spec{name: "file", typ: tPath, example: "/etc/issue",
			doc: "Where it is."},
			at: mountTarget},
		{spec: spec{name: "content", typ: tContent, def: "empty", example: `"hello\n"`,
			doc: "Its text."},
			at: func(m *Mount) any { return &m.Content }},
		{spec: spec{name: "mode", typ: tPerm, def: `"0644"`, example: `"0600"`,
			doc: "Permission bits."},
			at: mountPerm},
	}},
	{kind: string(MountGenerate), doc: "a file made for the sandbox", keys: []key[Mount]{
		{spec: spec{name: "generate", typ: tWord, words: generateWords, example: "/etc/passwd",
			doc: "Which file."},
			at: mountTarget},
		{spec: spec{name: "optional", typ: tWord, words: boolWords, def: "false", example: "true",
			doc: "Nothing is made where the target does not exist and cannot be made."},
			at: mountOptional},
	}},
}

func mountSource(m *Mount) any { return &m.Source }
func mountTarget(m *Mount) any { return &m.Target }
func mountNoExec(m *Mount) any { return &m.NoExec }
func mountPerm(m *Mount) any   { return &m.Perm }

func mountOptional(m *Mount) any { return &m.Optional }
