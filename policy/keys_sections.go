package policy

// This file contains the keys of the sections.

var namespaceKeys = []key[Profile]{
	{spec: spec{name: "user", typ: tNamespace, def: "new", example: "new", twin: "ns",
		doc: "See user_namespaces(7)."},
		at: func(p *Profile) any { return &p.Namespaces.User }},
	{spec: spec{name: "mount", typ: tNamespace, def: "new", example: "new", twin: "ns",
		doc: "See mount_namespaces(7)."},
		at: func(p *Profile) any { return &p.Namespaces.Mount }},
	{spec: spec{name: "pid", typ: tNamespace, def: "new", example: "new", twin: "ns",
		doc: "See pid_namespaces(7)."},
		at: func(p *Profile) any { return &p.Namespaces.PID }},
	{spec: spec{name: "ipc", typ: tNamespace, def: "new", example: "new", twin: "ns",
		doc: "See ipc_namespaces(7)."},
		at: func(p *Profile) any { return &p.Namespaces.IPC }},
	{spec: spec{name: "uts", typ: tNamespace, def: "new", example: "new", twin: "ns",
		doc: "See uts_namespaces(7)."},
		at: func(p *Profile) any { return &p.Namespaces.UTS }},
	{spec: spec{name: "cgroup", typ: tNamespace, def: "new", example: "new", twin: "ns",
		doc: "See cgroup_namespaces(7)."},
		at: func(p *Profile) any { return &p.Namespaces.Cgroup }},
	{spec: spec{name: "net", typ: tNamespace, def: "new; the host's with `network: host`", example: "/run/netns/x", twin: "ns",
		doc: "See network_namespaces(7)."},
		at: func(p *Profile) any { return &p.Namespaces.Net }},
	{spec: spec{name: "time", typ: tTime, def: "host", example: "{boottime: 1h}", twin: "ns",
		doc: "See time_namespaces(7): `host`, `new`, a path, or `{monotonic: …, boottime: …}` with " +
			"offsets."},
		at: func(p *Profile) any { return &p.Namespaces.Time }},
}

var timeKeys = []key[TimeNamespace]{
	{spec: spec{name: "monotonic", typ: tOffset, def: "0s", example: "1h", apart: "--ns time={…} has it",
		doc: "What is added to CLOCK_MONOTONIC inside."},
		at: func(t *TimeNamespace) any { return &t.Monotonic }},
	{spec: spec{name: "boottime", typ: tOffset, def: "0s", example: "1h", apart: "--ns time={…} has it",
		doc: "What is added to CLOCK_BOOTTIME inside."},
		at: func(t *TimeNamespace) any { return &t.Boottime }},
}

var userKeys = []key[Profile]{
	{spec: spec{name: "uid", typ: tID, def: "keep", example: "0",
		doc:   "The task's user id inside. `keep` means the caller's number.",
		flags: []flag{{"uid", "N|keep", "set the user id inside"}}},
		at: func(p *Profile) any { return &p.User.UID }},
	{spec: spec{name: "gid", typ: tID, def: "keep", example: "0",
		doc:   "The task's group id inside. `keep` means the caller's number.",
		flags: []flag{{"gid", "N|keep", "set the group id inside"}}},
		at: func(p *Profile) any { return &p.User.GID }},
	{spec: spec{name: "host", typ: tWord, words: hostUserWords, def: "auto", example: "caller",
		doc: "The task's id on the host. `auto` is the caller's id, or an unprivileged id if root starts " +
			"cordon. `caller` is always the caller's id, even root's.",
		flags: []flag{{"host-user", "auto|caller", "choose the task's id on the host"}}},
		at: func(p *Profile) any { return &p.User.Host }},
	{spec: spec{name: "ranges", typ: tWord, words: boolWords, def: "false", example: "true",
		doc:   "Also map the caller's ranges in /etc/subuid and /etc/subgid, with newuidmap(1).",
		flags: []flag{{"ranges", "", "also map the caller's /etc/subuid and /etc/subgid ranges"}}},
		at: func(p *Profile) any { return &p.User.Ranges }},
}

var envKeys = []key[Profile]{
	{spec: spec{name: "keep", typ: tEnvPattern, list: true, def: "[]", example: `[PATH, "LC_*"]`,
		doc:   "Variables that the task gets from the caller: names, or a prefix and `*`.",
		flags: []flag{{"keep-env", "NAME|PREFIX*", "pass on a variable of your environment"}}},
		at: func(p *Profile) any { return &p.Env.Keep }},
	{spec: spec{name: "set", typ: tText, dict: tEnvName, def: "{}", example: `{CI: "true"}`,
		doc:   "Variables with new values.",
		flags: []flag{{"env", "NAME=VALUE", "set a variable"}}},
		at: func(p *Profile) any { return &p.Env.Set }},
}

var capabilityKeys = []key[Profile]{
	{spec: spec{name: "keep", typ: tCapability, list: true, def: "[]", example: "[NET_BIND_SERVICE]",
		doc: "Capabilities that the task keeps, in its bounding, permitted and effective sets. It loses " +
			"all other capabilities.",
		flags: []flag{{"cap", "NAME", "keep a capability"}}},
		at: func(p *Profile) any { return &p.Capabilities.Keep }},
	{spec: spec{name: "ambient", typ: tCapability, list: true, def: "[]", example: "[NET_BIND_SERVICE]",
		doc:   "Capabilities of `keep` that survive execve(2) even if the task is not root inside.",
		flags: []flag{{"ambient-cap", "NAME", "let a capability of --cap survive execve(2) without root inside"}}},
		at: func(p *Profile) any { return &p.Capabilities.Ambient }},
}

var syscallKeys = []key[Profile]{
	{spec: spec{name: "default", typ: tAction, def: "errno(EPERM)", example: "kill",
		doc: "What happens when the task makes a system call that the profile does not allow: `allow`, " +
			"`errno(NAME)`, `kill` or `log`.",
		flags: []flag{{"syscall-default", "ACTION", "the action for calls that are not allowed"}}},
		at: func(p *Profile) any { return &p.Syscalls.Default }},
	{spec: spec{name: "unknown", typ: tAction, def: "errno(ENOSYS)", example: "errno(ENOSYS)",
		doc:   "What happens when the task makes a call whose number is newer than cordon's table.",
		flags: []flag{{"syscall-unknown", "ACTION", "the action for call numbers that cordon does not know"}}},
		at: func(p *Profile) any { return &p.Syscalls.Unknown }},
	{spec: spec{name: "arches", typ: tArch, list: true, def: "[native]", example: "[native]",
		doc: "Architectures whose calls the task may make, besides the machine's own. A call of any other " +
			"architecture kills the process.",
		flags: []flag{{"arch", "NAME", "allow system calls of a further architecture"}}},
		at: func(p *Profile) any { return &p.Syscalls.Arches }},
	{spec: spec{name: "allow", typ: tCall, list: true, def: "[]", example: `["@system-service"]`,
		doc:   "System calls, or groups of them, that the task may make.",
		flags: []flag{{"allow-syscall", "NAME|@GROUP", "allow a system call or a group"}}},
		at: func(p *Profile) any { return &p.Syscalls.Allow }},
	{spec: spec{name: "deny", typ: tCall, list: true, def: "[]", example: `["@keyring", ptrace]`,
		doc: "System calls, or groups of them, that the task may not make. A denial beats `allow` and " +
			"`rules` in every profile, and no later profile removes it.",
		flags: []flag{{"deny-syscall", "NAME|@GROUP", "deny a system call or a group"}}},
		at: func(p *Profile) any { return &p.Syscalls.Deny }},
	{spec: spec{name: "rules", typ: tRule, list: true, def: "[]", example: `[{socket: "family == AF_UNIX"}]`,
		doc:   "Conditions on the arguments of a call, or an action for that call.",
		flags: []flag{{"rule", "CALL: EXPR", "allow CALL if the condition EXPR holds"}}},
		at: func(p *Profile) any { return &p.Syscalls.Rules }},
	{spec: spec{name: "exec", typ: tWord, words: execWords, def: "any", example: "once",
		doc: "`once`: the program cannot execute another program. The filter denies execve and execveat " +
			"as soon as the program runs.",
		flags: []flag{{"exec", "any|once", "once: the program cannot execute another program"}}},
		at: func(p *Profile) any { return &p.Syscalls.Exec }},
}

var landlockKeys = []key[Profile]{
	{spec: spec{name: "read", typ: tPath, list: true, def: "derived from the mounts", example: "[/usr, .]",
		doc:   "Paths below which the task may read files.",
		flags: []flag{{"landlock-read", "PATH", "with Landlock, allow reading only below PATH"}}},
		at: func(p *Profile) any { return &p.Landlock.Read }},
	{spec: spec{name: "write", typ: tPath, list: true, def: "derived from the mounts", example: "[., /tmp]",
		doc:   "Paths below which the task may write files.",
		flags: []flag{{"landlock-write", "PATH", "with Landlock, allow writing only below PATH"}}},
		at: func(p *Profile) any { return &p.Landlock.Write }},
	{spec: spec{name: "execute", typ: tPath, list: true, def: "derived from the mounts", example: "[/usr]",
		doc:   "Paths below which the task may execute files.",
		flags: []flag{{"landlock-execute", "PATH", "with Landlock, allow executing only below PATH"}}},
		at: func(p *Profile) any { return &p.Landlock.Execute }},
	{spec: spec{name: "scope", typ: tWord, list: true, words: scopeWords, def: "[signal, abstract-unix-socket]",
		example: "[signal]",
		doc: "Keep the task's signals, or its connections to abstract sockets, inside the sandbox. Needs " +
			"Linux 6.12.",
		flags: []flag{{"landlock-scope", "signal|abstract-unix-socket", "keep signals, or abstract sockets, inside the sandbox"}}},
		at: func(p *Profile) any { return &p.Landlock.Scope }},
}

var cacheKeys = []key[Profile]{
	{spec: spec{name: "mode", typ: tWord, words: cacheWords, def: "off", example: "project",
		doc: "`project`: each project and profile has caches of its own below ~/.cache/cordon, which start with what your " +
			"own caches hold. `overlay`: your own caches, and changes go elsewhere. `off`: no caches. A mapping " +
			"that has `tools` and no `mode` means `project`.",
		flags: []flag{{"cache", "off|project|overlay", "keep caches of compilers and package managers"}}},
		at: func(p *Profile) any { return &p.Cache.Mode }},
	{spec: spec{name: "tools", typ: tWord, list: true, words: CacheWords, def: "all", example: "[go, npm]",
		doc:   "The tools that have caches.",
		flags: []flag{{"cache-tool", "TOOL", "give TOOL a cache; without this flag every known tool has a cache"}}},
		at: func(p *Profile) any { return &p.Cache.Tools }},
	{spec: spec{name: "size", typ: tSize, min: 1, def: "none: the changes are kept on the disk", example: "1GiB",
		doc:   "With `overlay`: the changes to each cache are kept in memory, up to this size, and lost at the end.",
		flags: []flag{{"cache-size", "SIZE", "keep changes to overlaid caches in memory, at most SIZE each"}}},
		at: func(p *Profile) any { return &p.Cache.Size }},
}

var networkKeys = []key[Profile]{
	{spec: spec{name: "allow", typ: tEndpoint, list: true, example: `["*.example.org:443", "10.0.0.0/8:5432"]`,
		doc: "What the task can reach: `HOST`, `HOST:PORT` or `HOST:FIRST-LAST`. `HOST` is a name, `*.NAME` for " +
			"every name below one, an address, a range, or nothing for every host. Without a port it means " +
			"443 and 80. Private, link-local and metadata addresses need a rule for their own range.",
		flags: []flag{{"net-allow", "HOST[:PORT]", "let the sandbox's own network reach HOST, and nothing else"}}},
		at: func(p *Profile) any { return &p.Network.Allow }},
	{spec: spec{name: "deny", typ: tEndpoint, list: true, example: `["bad.example.org", ":22"]`,
		doc: "What the task cannot reach although `allow` says so, written as there. Without a port it means " +
			"every port. No later profile and no flag takes an item away.",
		flags: []flag{{"net-deny", "HOST[:PORT]", "never let the sandbox's own network reach HOST"}}},
		at: func(p *Profile) any { return &p.Network.Deny }},
	{spec: spec{name: "publish", typ: tPublish, list: true, example: `["127.0.0.1:8080:8000"]`,
		doc: "Ports of the host that lead to ports of the sandbox: `ADDRESS:PORT:INSIDE`, `PORT:INSIDE` or `PORT`. " +
			"Without an address only programs of the host itself can connect.",
		flags: []flag{{"publish", "[ADDRESS:]PORT[:INSIDE]", "let connections to PORT of the host arrive at INSIDE"}}},
		at: func(p *Profile) any { return &p.Network.Publish }},
	{spec: spec{name: "tls", typ: tWord, words: tlsWords, def: "any", example: "require-name",
		doc: "A connection of TLS to an address that a name has opened must ask for an allowed name of that address. " +
			"`any`: or for none. `require-name`: for one, that is not encrypted.",
		flags: []flag{{"net-tls", "any|require-name", "whether a connection of TLS must say which name it is for"}}},
		at: func(p *Profile) any { return &p.Network.TLS }},
	{spec: spec{name: "interface", typ: tWord, words: interfaceWords, def: "eth0", example: "none",
		doc: "`eth0`: an interface with an address of IPv4 and of IPv6, for programs that look for one. `none`: " +
			"the loopback device alone, which saves a moment of the launch.",
		flags: []flag{{"net-interface", "eth0|none", "which interface the sandbox's own network has"}}},
		at: func(p *Profile) any { return &p.Network.Interface }},
}

var limitKeys = []key[Profile]{
	{spec: spec{name: "memory", typ: tSize, min: minMemory, def: "none", example: "2GiB",
		doc: "Memory of the whole sandbox. This includes the page cache of its files, and the kernel's " +
			"memory for it.",
		flags: []flag{{"memory", "SIZE", "limit the memory of the whole sandbox"}}},
		at: func(p *Profile) any { return &p.Limits.Memory }},
	{spec: spec{name: "memory-high", typ: tSize, min: minMemory, def: "none", example: "1GiB",
		doc: "Memory above which the kernel slows the sandbox down and reclaims its memory. Needs cgroup " +
			"v2.",
		flags: []flag{{"memory-high", "SIZE", "slow the sandbox down above this much memory"}}},
		at: func(p *Profile) any { return &p.Limits.MemoryHigh }},
	{spec: spec{name: "swap", typ: tSize, def: "0 with `memory`, otherwise unlimited", example: "1GiB",
		doc:   "Swap space of the whole sandbox.",
		flags: []flag{{"swap", "SIZE", "limit the swap space of the whole sandbox"}}},
		at: func(p *Profile) any { return &p.Limits.Swap }},
	{spec: spec{name: "oom-group", typ: tWord, words: boolWords, def: "false", example: "true",
		doc: "When memory runs out, the kernel kills all processes of the sandbox together. Needs cgroup " +
			"v2.",
		flags: []flag{{"oom-group", "", "when memory runs out, kill all processes together"}}},
		at: func(p *Profile) any { return &p.Limits.OOMGroup }},
	{spec: spec{name: "cpus", typ: tNumber, def: "none", example: "1.5",
		doc:   "Processor time per unit of time: `1.5` is one and a half processors.",
		flags: []flag{{"cpus", "N", "limit the processors: 1.5 is one and a half"}}},
		at: func(p *Profile) any { return &p.Limits.CPUs }},
	{spec: spec{name: "cpu-weight", typ: tInt, min: 1, max: 10000, def: "100", example: "50",
		doc:   "Share of the processors when other cgroups want them too; these have 100.",
		flags: []flag{{"cpu-weight", "N", "weight of the sandbox when processors are short, 1 to 10000; other cgroups have 100"}}},
		at: func(p *Profile) any { return &p.Limits.CPUWeight }},
	{spec: spec{name: "cpuset", typ: tCPUSet, def: "all", example: `"0-3,6"`,
		doc:   "The processors that the sandbox may run on, by number.",
		flags: []flag{{"cpuset", "LIST", "run only on these processors, by number"}}},
		at: func(p *Profile) any { return &p.Limits.CPUSet }},
	{spec: spec{name: "pids", typ: tInt, min: 1, max: 4194303, def: "none", example: "512",
		doc:   "Number of processes and threads in the sandbox, not counting its init.",
		flags: []flag{{"pids", "N", "limit the number of processes and threads"}}},
		at: func(p *Profile) any { return &p.Limits.PIDs }},
	{spec: spec{name: "io", typ: tIOMax, dict: tSource, def: "{}", example: `{/dev/sda: "rbps=10MiB wiops=200"}`,
		doc: "What the sandbox may do to a disk in a second: `rbps` and `wbps` in bytes, `riops` and " +
			"`wiops` in operations. Name the disk by its device, or by a file on it.",
		flags: []flag{{"io", "PATH:KEY=N[,…]", "limit rbps, wbps, riops, wiops of the disk of PATH"}}},
		at: func(p *Profile) any { return &p.Limits.IO }},
	{spec: spec{name: "io-weight", typ: tInt, min: 1, max: 10000, def: "100", example: "50",
		doc:   "Share of the disks when other cgroups want them too; these have 100.",
		flags: []flag{{"io-weight", "N", "weight of the sandbox when disks are busy, 1 to 10000; other cgroups have 100"}}},
		at: func(p *Profile) any { return &p.Limits.IOWeight }},
	{spec: spec{name: "hugetlb", typ: tSize, dict: tSize, def: "{}", example: "{2MiB: 64MiB}",
		doc:   "Memory in huge pages, for each page size.",
		flags: []flag{{"hugetlb", "SIZE=MAX", "limit memory in huge pages of SIZE"}}},
		at: func(p *Profile) any { return &p.Limits.Hugetlb }},
	{spec: spec{name: "cgroup", typ: tCgroup, def: "auto if anything is limited", example: "/ci/jobs",
		doc: "Where cordon makes the sandbox's cgroup: `auto`, `systemd`, the name of a systemd slice, or " +
			"a path in the cgroup tree. If the key is given, cordon makes a cgroup even without any " +
			"limit.",
		flags: []flag{{"cgroup-parent", "PATH|auto|systemd|NAME.slice", "where cordon makes the sandbox's cgroup"}}},
		at: func(p *Profile) any { return &p.Limits.Cgroup }},
	{spec: spec{name: "wall", typ: tDuration, def: "none", example: "30m",
		doc: "Running time. Then the program gets SIGTERM and, after a grace period, everything gets " +
			"SIGKILL.",
		flags: []flag{{"timeout", "TIME", "end the run after TIME"}}},
		at: func(p *Profile) any { return &p.Limits.Wall }},
	{spec: spec{name: "cpu-time", typ: tDuration, def: "none", example: "20m",
		doc:   "Processor time of all processes in the sandbox together.",
		flags: []flag{{"cpu-time", "TIME", "end the run after this much processor time"}}},
		at: func(p *Profile) any { return &p.Limits.CPUTime }},
	{spec: spec{name: "output", typ: tSize, def: "none", example: "64MiB",
		doc: "Bytes of stdout and stderr together. The launcher cuts the output off after this many " +
			"bytes, and ends the run. With this limit stdout and stderr are pipes, which the launcher copies.",
		flags: []flag{{"output", "SIZE", "end the run after SIZE bytes of stdout and stderr"}}},
		at: func(p *Profile) any { return &p.Limits.Output }},
	{spec: spec{name: "rlimits", typ: tRlimit, dict: tRlimitName, def: "{}", example: "{nofile: 4096, core: 0}",
		doc: "Limits of getrlimit(2) for every process, soft and hard: a number, a size, seconds for " +
			"`cpu`, or `unlimited`. cordon sets `core: 0` as 1 byte, because that is the only limit that " +
			"stops dumps to a program that core_pattern names.",
		flags: []flag{{"rlimit", "NAME=VALUE", "set a limit of getrlimit(2)"}}},
		at: func(p *Profile) any { return &p.Limits.Rlimits }},
}

var processKeys = []key[Profile]{
	{spec: spec{name: "workdir", typ: tPath, def: "the caller's if it exists inside, otherwise /", example: "/src",
		doc:   "The working directory inside.",
		flags: []flag{{"workdir", "PATH", "set the working directory inside"}}},
		at: func(p *Profile) any { return &p.Process.Workdir }},
	{spec: spec{name: "umask", typ: tPerm, def: "the caller's", example: `"0022"`,
		doc:   "See umask(2). Octal digits in quotes.",
		flags: []flag{{"umask", "MODE", "set the umask(2)"}}},
		at: func(p *Profile) any { return &p.Process.Umask }},
	{spec: spec{name: "nice", typ: tInt, min: -20, max: 19, def: "the caller's", example: "10",
		doc:   "The nice value; see setpriority(2).",
		flags: []flag{{"nice", "N", "set the nice value, -20 to 19"}}},
		at: func(p *Profile) any { return &p.Process.Nice }},
	{spec: spec{name: "oom-score-adj", typ: tInt, min: -1000, max: 1000, def: "the caller's", example: "500",
		doc: "How readily the kernel kills the task when memory runs out; see /proc/PID/oom_score_adj in " +
			"proc(5).",
		flags: []flag{{"oom-score-adj", "N", "how readily the kernel kills the task if memory runs out, -1000 to 1000"}}},
		at: func(p *Profile) any { return &p.Process.OOMScoreAdj }},
	{spec: spec{name: "init", typ: tWord, words: initWords, def: "own", example: "none",
		doc: "What is pid 1 inside: `own` is a process of cordon's that reaps, `none` the program itself. " +
			"See [pid 1](#pid-1).",
		flags: []flag{{"init", "own|none", "what is pid 1 inside: cordon's own process, or the program itself (none)"}}},
		at: func(p *Profile) any { return &p.Process.Init }},
}
