package policy

// The profile language is one table of keys. The code that decodes, formats and shows profiles uses this table. So do
// the suggestions, the flags, the reference and the JSON Schema. Nothing in the table is computed at start-up.

// typ is the type of a value in the profile language.
type typ uint8

const (
	tSection    typ = iota // a mapping with its own keys
	tText                  // any text
	tName                  // a profile's name
	tExtends               // a profile's name, or a path with a slash
	tVersion               // 1
	tBool                  // true, false
	tWord                  // one of the key's words
	tInt                   // a whole number in the key's range
	tNumber                // a positive number
	tSize                  // bytes
	tDuration              // a duration
	tOffset                // a duration, which may be negative
	tPerm                  // octal permission bits, quoted
	tID                    // a uid or gid, or keep
	tPath                  // a path in the sandbox
	tSource                // a path on the host
	tUpper                 // tmp, or a path on the host
	tLink                  // text of a symbolic link
	tContent               // text of a file
	tHostname              // a host name
	tNamespace             // new, host, or a path to join
	tTime                  // new, host, a path to join, or offsets
	tPattern               // a path, or a glob
	tEnvPattern            // a variable's name, or a prefix followed by *
	tEnvName               // a variable's name
	tCapability            // a capability's name
	tArch                  // native, or an architecture's name
	tCall                  // the name of a system call, or @ and the name of a group
	tAction                // allow, errno(NAME), kill, log
	tRule                  // a system call and its condition
	tEndpoint              // host:port
	tPublish               // address:port:port
	tRlimit                // an rlimit's value
	tRlimitName            // an rlimit's name
	tCPUSet                // numbers of processors
	tCgroup                // a place in the cgroup tree
	tIOMax                 // how much may be read or written on a device per second
	tMount                 // one of the forms of a mount
	tLayer                 // a layer's name
)

// spec describes a key, without its field in Go.
type spec struct {
	name     string
	typ      typ
	list     bool     // the value is a list of typ
	dict     typ      // if not 0, the value is a mapping from names of this type to typ
	words    []string // for tWord: the allowed words; the first is the zero value
	min, max int64    // the range of a tInt; min is also the smallest tSize
	doc      string   // the description, in one sentence
	def      string   // the value that applies if the profile does not contain the key
	example  string
	flags    []flag // the flags that set it; the last one can set everything that the key can
	twin     string // another key's flag, without --, that sets this key too
	apart    string // why no flag sets it
}

// flag is a flag that sets a key. Its value has the key's type, or a setter in flags.go interprets it.
type flag struct {
	name string // the name without --
	arg  string // how the help shows the value; "" for a flag without a value
	doc  string // the description in the help
}

// key is a key of a mapping that is decoded into a T. at returns a pointer to the field of T. It is nil if the key only
// selects the form (root: {empty: true}).
type key[T any] struct {
	spec
	at   func(*T) any
	keys []key[T] // for a section: its keys
}

// form is one of the shapes that a mapping may have. The first key of the mapping tells its form.
type form[T any] struct {
	kind string
	doc  string
	keys []key[T]
}

// The allowed words of keys whose value is a word. The first of each list is the zero value in Go.
var (
	boolWords      = []string{"false", "true"}
	modeWords      = []string{"ro", "rw"}
	enterWords     = []string{"pivot", "chroot"}
	HidepidWords   = []string{"off", "noaccess", "invisible", "ptraceable"}
	UnfitWords     = []string{"bind", "skip", "refuse"}
	hostUserWords  = []string{"auto", "caller"}
	networkWords   = []string{"none", "host"}
	interfaceWords = []string{"eth0", "none"}
	tlsWords       = []string{"any", "require-name"}
	ttyWords       = []string{"none", "inherit", "broker"}
	execWords      = []string{"any", "once"}
	initWords      = []string{"own", "none"}
	gitWords       = []string{"free", "protect"}
	cacheWords     = []string{"off", "project", "overlay"}
	denialWords    = []string{"silent", "report"}
	scopeWords     = []string{"signal", "abstract-unix-socket"}
	// CacheWords are the tools that can have caches.
	CacheWords    = []string{"go", "ccache", "cargo", "npm", "pnpm", "pip", "uv", "gradle", "maven"}
	missingWords  = []string{"cgroup", "landlock", "landlock-rights", "time", "hide", "namespaces"}
	generateWords = []string{"/etc/passwd", "/etc/group", "/etc/hosts", "/etc/hostname", "/etc/nsswitch.conf",
		"/etc/resolv.conf"}
)

// MissingLandlockRights is a value of MissingLayer that names only a part of a layer: the rights and scopes that the
// Landlock of an older kernel does not know. They may be missing only if mounts and namespaces restrict the same.
const MissingLandlockRights Layer = "landlock-rights"

var language = []key[Profile]{
	{spec: spec{name: "version", typ: tVersion, def: "1", example: "1",
		apart: "says how the file is read",
		doc:   "The version of the language."},
		at: func(p *Profile) any { return &p.Version }},
	{spec: spec{name: "name", typ: tName, def: "the file's name without .yaml", example: "build",
		apart: "names the file",
		doc: "The profile's name, shown in reports: lower-case letters, digits, `.`, `_` and `-`; at most " +
			"64 characters."},
		at: func(p *Profile) any { return &p.Name }},
	{spec: spec{name: "about", typ: tText, example: "Compile and test a project.",
		apart: "describes the file",
		doc:   "A sentence that says what the profile is for."},
		at: func(p *Profile) any { return &p.About }},
	{spec: spec{name: "extends", typ: tExtends, list: true, def: "[]", example: "[default]",
		apart: "-p names the profiles of a run",
		doc: "The profiles that this profile builds on, merged in this order. A value with a slash is a " +
			"file, relative to this profile's file."},
		at: func(p *Profile) any { return &p.Extends }},
	{spec: spec{name: "root", def: "{empty: true}", example: "{host: ro}",
		doc:   "The file tree in which the mounts are made. A later `root:` replaces the whole section.",
		flags: []flag{{"root", "DIR|host|empty", "the file tree in which the mounts are made"}}},
		at: func(p *Profile) any { return &p.Root }},
	{spec: spec{name: "mounts", typ: tMount, list: true, def: "[]", example: "[{bind: ., mode: rw}]",
		doc: "What cordon mounts or creates in the tree, in this order. A later mount covers an earlier " +
			"mount at the same path.",
		flags: []flag{
			{"rw", "PATH[:TARGET]", "bind PATH of the host, writable"},
			{"ro", "PATH[:TARGET]", "bind PATH of the host, read-only"},
			{"tmpfs", "PATH[:SIZE]", "mount an empty tmpfs at PATH"},
			{"mount", "{...}", "add any mount, written as in mounts: of a profile"},
		}},
		at: func(p *Profile) any { return &p.Mounts }},
	{spec: spec{name: "hide", typ: tPattern, list: true, def: "[]", example: `[~/.ssh, "**/.env"]`,
		doc: "Paths that the sandbox can neither read nor write: `/…`, `~/…`, or `**/…` for a name " +
			"anywhere in a bind (not in the read-only caches of tools). Within a name, `*`, `?` and `[^a-c]` match as in a shell. If the path " +
			"is a link, its target is hidden too, under every name. `{path: PATTERN, as: empty}` shows " +
			"an empty file or directory, for programs that must be able to read it. `{remove: PATH}` lifts " +
			"an inherited rule, or shows a path below a hidden one.",
		flags: []flag{{"hide", "PATTERN", "make a path unreadable and unwritable"}}},
		at: func(p *Profile) any { return &p.Hide }},
	{spec: spec{name: "hostname", typ: tHostname, def: "cordon", example: "build",
		doc:   "The host name inside, at most 64 bytes.",
		flags: []flag{{"hostname", "NAME", "set the host name inside"}}},
		at: func(p *Profile) any { return &p.Hostname }},
	{spec: spec{name: "namespaces", def: "new", example: "none",
		flags: []flag{
			{"in-place", "", "make no namespace: confine the program where it is, as far as Landlock and seccomp can"},
			{"ns", "none|KIND=new|host|PATH", "use a new namespace, the host's namespace, or the namespace at PATH; none means --in-place"},
		},
		doc: "For each kind: a new namespace, the host's, or a namespace to join. `none`: no new namespaces (docs/in-place.md)."},
		at: func(p *Profile) any { return &p.Namespaces }, keys: namespaceKeys},
	{spec: spec{name: "user",
		doc: "The task's user and group ids, inside the sandbox and on the host."},
		keys: userKeys},
	{spec: spec{name: "env",
		doc: "The environment. The task gets only the variables that this section names."},
		keys: envKeys},
	{spec: spec{name: "capabilities",
		doc: "The capabilities that the task keeps. Without this section it has none."},
		keys: capabilityKeys},
	{spec: spec{name: "syscalls",
		doc: "The seccomp filter: which system calls the task may make."},
		keys: syscallKeys},
	{spec: spec{name: "landlock", def: "derived", example: "{write: [., /tmp]}",
		doc: "Landlock rules. cordon derives them from the mounts; lists narrow them further, and `off` " +
			"switches Landlock off.",
		flags: []flag{
			{"no-landlock", "", "switch Landlock off, as --landlock off does"},
			{"landlock", "off", "switch Landlock off"},
		}},
		at: func(p *Profile) any { return &p.Landlock }, keys: landlockKeys},
	{spec: spec{name: "network", words: networkWords, def: "none", example: "none",
		doc:   "`none`: only a loopback device. `host`: the host's network. A mapping: only what `allow` names.",
		flags: []flag{{"net", "none|host|PATH", "use no network, the host's network, or the network namespace at PATH"}}},
		at: func(p *Profile) any { return &p.Network }, keys: networkKeys},
	{spec: spec{name: "limits",
		doc: "Limits on what the sandbox may use."},
		keys: limitKeys},
	{spec: spec{name: "process",
		doc: "Attributes of the task's process."},
		keys: processKeys},
	{spec: spec{name: "tty", typ: tWord, words: ttyWords, def: "none", example: "broker",
		doc: "What the task gets if stdin, stdout or stderr is a terminal. `none`: a pipe instead. " +
			"`inherit`: your terminal, in a new session. `broker`: a new terminal; the launcher copies " +
			"between the two.",
		flags: []flag{{"tty", "none|inherit|broker", "what the program gets in place of your terminal"}}},
		at: func(p *Profile) any { return &p.TTY }},
	{spec: spec{name: "git", typ: tWord, words: gitWords, def: "free", example: "protect",
		doc: "`protect`: within the paths that the task may write, every `.git` and every file that git's " +
			"configuration runs is read-only, and so is every submodule; tokens in the configuration are " +
			"hidden; the report names each `.git` that appears during the run. `free`: repositories are " +
			"ordinary files.",
		flags: []flag{{"git", "free|protect", "whether git repositories in writable paths are read-only"}}},
		at: func(p *Profile) any { return &p.Git }},
	{spec: spec{name: "cache", def: "off", example: "project", twin: "cache",
		doc: "Caches of compilers and package managers: `off`, `project`, `overlay`, or a mapping. See [Caches](#caches)."},
		at: func(p *Profile) any { return &p.Cache }, keys: cacheKeys},
	{spec: spec{name: "nest", typ: tWord, words: boolWords, def: "false", example: "true",
		doc: "Let a launcher inside make a sandbox of its own: the filter allows user namespaces and mounts, " +
			"/proc is not masked, and Landlock has no rules for files, because they forbid every mount. The " +
			"report lists what the sandbox lacks because of this.",
		flags: []flag{{"nest", "", "let a launcher inside make a sandbox of its own"}}},
		at: func(p *Profile) any { return &p.Nest }},
	{spec: spec{name: "on-denial", typ: tWord, words: denialWords, def: "silent", example: "report",
		doc: "What happens when the filter denies a system call with an errno. `report`: stderr and the " +
			"report list the call with its arguments. `silent`: nothing is listed.",
		flags: []flag{{"on-denial", "silent|report", "list denied system calls at the end, or not"}}},
		at: func(p *Profile) any { return &p.OnDenial }},
	{spec: spec{name: "missing", typ: tLayer, list: true, words: missingWords, def: "[]", example: "[cgroup, landlock]",
		doc: "Layers that this host may lack. If such a layer is missing, the run starts and the report lists it. " +
			"If any other layer cannot be enforced, cordon refuses to run. `landlock-rights` means rights and scopes that an older " +
			"kernel's Landlock does not know, if the sandbox's mounts and namespaces restrict the same.",
		flags: []flag{{"missing", "LAYER", "start even if this host lacks LAYER"}}},
		at: func(p *Profile) any { return &p.Missing }},
}
