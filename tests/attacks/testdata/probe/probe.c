// probe tries one attack and says how it went, in one line on stdout:
//
//	blocked ERRNO DETAIL	the attack failed
//	escaped DETAIL		the attack worked
//
// after a line "trying NAME", so that a program that never ran is not taken for one that was stopped.
//
// It is C and linked statically because it has to start where hardly any call is allowed, make calls by number, and
// enter the kernel by its other doors (int 0x80, the x32 numbers). Nothing it does harms a host on which it succeeds:
// files are opened for writing but not written, what is created is removed.

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROC_MAGIC 0x9fa0

static int seen; // errno of the first attempt that failed; 0 if none did

static void say(const char *format, ...) {
	char buf[4096];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(buf, sizeof buf - 1, format, ap);
	va_end(ap);
	if (n > (int)sizeof buf - 2)
		n = sizeof buf - 2;
	buf[n++] = '\n';
	if (write(1, buf, n) != n)
		_exit(3);
}

#define ESCAPED(...) do { say("escaped " __VA_ARGS__); _exit(1); } while (0)
#define BROKEN(...) do { say("broken " __VA_ARGS__); _exit(2); } while (0)

static void __attribute__((noreturn)) blocked(int err, const char *detail) {
	say("blocked %s %s", err ? strerrorname_np(err) : "0", detail ? detail : "");
	_exit(0);
}

static void note(int err) {
	if (!seen)
		seen = err;
}

// Files.

static int opens(const char *path, int flags) {
	int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
	if (fd < 0)
		note(errno);
	return fd;
}

static int creates(const char *dir, dev_t *dev) {
	char path[4096];
	struct stat st;
	snprintf(path, sizeof path, "%s/.probe-%d", dir, getpid());
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		note(errno);
		return 0;
	}
	*dev = fstat(fd, &st) ? 0 : st.st_dev;
	close(fd);
	unlink(path);
	return 1;
}

// mask reports whether a path is /dev/null's device: what lies over a file that is hidden. What is written there goes nowhere.
static int mask(const struct stat *st) { return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3); }

// do_write: no path may be opened for writing; in a directory nothing may be created.
static void do_write(char **paths) {
	struct stat st;
	dev_t dev;
	for (; *paths; paths++) {
		if (stat(*paths, &st)) {
			note(errno);
			int fd = open(*paths, O_WRONLY | O_CREAT | O_EXCL, 0600);
			if (fd >= 0) {
				unlink(*paths);
				ESCAPED("created %s", *paths);
			}
		} else if (S_ISDIR(st.st_mode)) {
			if (creates(*paths, &dev))
				ESCAPED("created a file in %s", *paths);
		} else if (!mask(&st) && (opens(*paths, O_WRONLY) >= 0 || opens(*paths, O_RDWR) >= 0))
			ESCAPED("opened %s for writing", *paths);
		if (!stat(*paths, &st) && !chmod(*paths, st.st_mode & 07777))
			ESCAPED("changed the mode of %s", *paths);
	}
	blocked(seen, "");
}

// do_reopen PATH...: no path may be opened for writing.
static void do_reopen(char **paths) {
	for (; *paths; paths++)
		if (opens(*paths, O_WRONLY) >= 0 || opens(*paths, O_RDWR) >= 0)
			ESCAPED("opened %s for writing", *paths);
	blocked(seen, "");
}

static int has_entry(int fd) {
	DIR *d = fdopendir(fd);
	struct dirent *e;
	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			return 1;
	return 0;
}

// do_read: no path may be read or, if a directory, have an entry.
static void do_read(char **paths) {
	struct stat st;
	char buf[256];
	for (; *paths; paths++) {
		int fd = opens(*paths, O_RDONLY);
		if (fd < 0)
			continue;
		if (!fstat(fd, &st) && S_ISDIR(st.st_mode)) {
			if (has_entry(fd))
				ESCAPED("listed %s", *paths);
			continue;
		}
		ssize_t n = read(fd, buf, sizeof buf - 1);
		if (n > 0)
			ESCAPED("read %d bytes of %s", (int)n, *paths);
		if (n < 0)
			note(errno);
		close(fd);
	}
	blocked(seen, "");
}

// turned is a mark given backwards, so that the command line does not hold what is looked for.
static char *turned(const char *s) {
	size_t n = strlen(s);
	char *r = calloc(1, n + 1);
	for (size_t i = 0; i < n; i++)
		r[i] = s[n - 1 - i];
	return r;
}

// do_grep KRAM PATH...: no file may hold MARK.
static void do_grep(char **args) {
	static char buf[1 << 20];
	char *mark = turned(*args);
	for (args++; *args; args++) {
		int fd = opens(*args, O_RDONLY);
		if (fd < 0)
			continue;
		ssize_t n = read(fd, buf, sizeof buf - 1);
		if (n < 0)
			note(errno);
		if (n > 0 && memmem(buf, n, mark, strlen(mark)))
			ESCAPED("found the mark in %s", *args);
		close(fd);
	}
	blocked(seen, "");
}

static int in_list(const char *list, dev_t dev) {
	char want[64];
	snprintf(want, sizeof want, ",%u:%u,", major(dev), minor(dev));
	return strstr(list, want) != NULL;
}

static int allowed(const char *path, char **prefixes) {
	for (; *prefixes; prefixes++) {
		size_t n = strlen(*prefixes);
		if (!strncmp(path, *prefixes, n) && (path[n] == 0 || path[n] == '/'))
			return 1;
	}
	return 0;
}

static void unescape(char *s) {
	char *to = s;
	for (; *s; s++)
		if (s[0] == '\\' && s[1] && s[2] && s[3]) {
			*to++ = (s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0');
			s += 3;
		} else
			*to++ = *s;
	*to = 0;
}

static void walk_one(const char *path, const char *devs, char **ok) {
	struct stat st;
	dev_t dev = 0;
	if (allowed(path, ok) || stat(path, &st))
		return;
	if (S_ISDIR(st.st_mode) && creates(path, &dev)) {
		if (in_list(devs, dev))
			ESCAPED("created a file in %s, on the host's %u:%u", path, major(dev), minor(dev));
	} else if (S_ISREG(st.st_mode) && in_list(devs, st.st_dev) && opens(path, O_WRONLY) >= 0)
		ESCAPED("opened %s for writing", path);
}

// do_walk DEVICES ALLOWED...: nothing on the host's file systems (",MAJOR:MINOR,MAJOR:MINOR,") may be writable at or
// below any mount point.
static void do_walk(char **args) {
	static const char *places[] = {"/", "/dev", "/dev/shm", "/dev/mqueue", "/dev/pts", "/etc", "/home", "/opt", "/root", "/run", "/run/lock",
				       "/run/user", "/srv", "/sys", "/sys/fs/cgroup", "/tmp", "/usr", "/usr/local/bin", "/var", "/var/crash",
				       "/var/lib", "/var/log", "/var/tmp", NULL};
	char line[8192], path[4096];
	for (const char **p = places; *p; p++)
		walk_one(*p, args[0], args + 1);
	FILE *f = fopen("/proc/self/mountinfo", "re");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "%*d %*d %*s %*s %4095s", path) == 1) {
			unescape(path);
			walk_one(path, args[0], args + 1);
		}
	blocked(seen, f ? "every mount point" : "the usual places");
}

struct mount_attr_v0 {
	uint64_t set, clr, propagation, userns_fd;
};

// do_remount: no mount may be made writable, by mount(2) or mount_setattr(2), nor taken away to show what is below.
static void do_remount(void) {
	char line[8192], path[4096];
	struct mount_attr_v0 attr = {.clr = 1};
	FILE *f = fopen("/proc/self/mountinfo", "re");
	int n = 0;
	for (; f && fgets(line, sizeof line, f); n++) {
		if (sscanf(line, "%*d %*d %*s %*s %4095s", path) != 1)
			continue;
		unescape(path);
		if (!mount("none", path, NULL, MS_REMOUNT | MS_BIND, NULL))
			ESCAPED("remounted %s", path);
		note(errno);
		if (!mount("none", path, NULL, MS_REMOUNT, NULL))
			ESCAPED("remounted the superblock of %s", path);
		if (!syscall(442, AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof attr))
			ESCAPED("mount_setattr on %s", path);
		if (strcmp(path, "/") && !umount2(path, MNT_DETACH))
			ESCAPED("unmounted %s", path);
	}
	if (!n && !mount("none", "/", NULL, MS_REMOUNT | MS_BIND, NULL))
		ESCAPED("remounted /");
	note(errno);
	blocked(seen, "");
}

// do_mknod DIR: no device node may be made and opened.
static void do_mknod(char **args) {
	char path[4096];
	snprintf(path, sizeof path, "%s/.node-%d", args[0], getpid());
	if (mknod(path, S_IFCHR | 0666, makedev(1, 5))) // /dev/zero
		blocked(errno, "mknod");
	int fd = opens(path, O_RDONLY);
	unlink(path);
	if (fd >= 0)
		ESCAPED("made and opened a device node");
	blocked(seen, "open");
}

// do_ids: print the ids and capabilities that the process has.
static void do_ids(void) {
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {};
	uid_t r, e, s;
	gid_t gr, ge, gs;
	if (syscall(SYS_capget, &h, d) || getresuid(&r, &e, &s) || getresgid(&gr, &ge, &gs))
		BROKEN("capget: %m");
	say("uid %d %d %d gid %d %d %d CapEff %08x%08x CapPrm %08x%08x", r, e, s, gr, ge, gs, d[1].effective, d[0].effective, d[1].permitted,
	    d[0].permitted);
	_exit(0);
}

// do_environ KRAM: no variable may hold MARK.
static void do_environ(char **args) {
	char *mark = turned(args[0]);
	for (char **e = environ; *e; e++)
		if (strstr(*e, mark))
			ESCAPED("%.60s", *e);
	blocked(0, "not kept");
}

// do_exec FILE ARG...: run it.
static void do_exec(char **args) {
	execv(args[0], args);
	blocked(errno, "execve");
}

// /proc.

// do_kallsyms: no address of the kernel may be read.
static void do_kallsyms(void) {
	char line[512];
	FILE *f = fopen("/proc/kallsyms", "re");
	if (!f)
		blocked(errno, "open");
	while (fgets(line, sizeof line, f))
		if (strtoull(line, NULL, 16))
			ESCAPED("%s", strtok(line, "\n"));
	blocked(0, "only zeros");
}

// do_procs KRAM: no process with MARK in its command line, name or environment may be seen.
static void do_procs(char **args) {
	static char buf[1 << 16];
	static const char *files[] = {"cmdline", "comm", "environ", "status", NULL};
	char path[4096];
	struct dirent *e;
	DIR *d = opendir("/proc");
	char *mark = turned(args[0]);
	int n = 0;
	if (!d)
		blocked(errno, "opendir");
	while ((e = readdir(d))) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9' || atoi(e->d_name) == getpid())
			continue;
		n++;
		for (const char **f = files; *f; f++) {
			snprintf(path, sizeof path, "/proc/%s/%s", e->d_name, *f);
			int fd = opens(path, O_RDONLY);
			ssize_t len = fd < 0 ? -1 : read(fd, buf, sizeof buf);
			if (len > 0 && memmem(buf, len, mark, strlen(mark)))
				ESCAPED("found it in %s", path);
			if (fd >= 0)
				close(fd);
		}
	}
	if (n > 3)
		ESCAPED("%d other processes", n);
	blocked(0, "own processes only");
}

// do_procreal: /proc is procfs and speaks of this process.
static void do_procreal(void) {
	struct statfs fs;
	char buf[64], want[64];
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC); // once: what it is called may change meanwhile
	if (fd < 0 || fstatfs(fd, &fs))
		blocked(errno, "no /proc");
	if (fs.f_type != PROC_MAGIC)
		ESCAPED("/proc has the type %lx", (long)fs.f_type);
	ssize_t n = readlinkat(fd, "self", buf, sizeof buf - 1);
	buf[n < 0 ? 0 : n] = 0;
	snprintf(want, sizeof want, "%d", getpid());
	if (strcmp(buf, want))
		ESCAPED("/proc/self is %s", buf);
	blocked(0, "procfs");
}

// do_peek PID: nothing of the process may be reached through /proc.
static void do_peek(char **args) {
	static const char *files[] = {"mem", "environ", "maps", "auxv", "io", "syscall", "stack", "pagemap", "personality", "fd", "fdinfo",
				      "map_files", "exe", "cwd/.", "root/.", "task/%s/mem", "task/%s/environ", "task/%s/root/.", "ns/mnt", "ns/pid",
				      "ns/user", "timers", "attr/current/..", NULL};
	char name[256], path[512], buf[4096];
	for (const char **f = files; *f; f++) {
		snprintf(name, sizeof name, *f, args[0]);
		snprintf(path, sizeof path, "/proc/%s/%s", args[0], name);
		int fd = opens(path, O_RDONLY);
		if (fd < 0)
			continue;
		struct stat st;
		if (!fstat(fd, &st) && S_ISDIR(st.st_mode)) {
			if (has_entry(fd))
				ESCAPED("listed %s", path);
		} else if (!strcmp(*f, "exe") || !strncmp(*f, "ns/", 3) || strstr(*f, "mem") || read(fd, buf, sizeof buf) > 0)
			ESCAPED("opened %s", path);
		else
			note(EACCES);
		close(fd);
	}
	static const char *links[] = {"exe", "cwd", "root", "fd/0", "fd/1", "fd/2", "fd/3", "fd/4", "fd/5", "ns/mnt", NULL};
	for (const char **f = links; *f; f++) {
		snprintf(path, sizeof path, "/proc/%s/%s", args[0], *f);
		ssize_t n = readlink(path, buf, sizeof buf - 1);
		if (n > 0) {
			buf[n] = 0;
			ESCAPED("read the link %s: %s", path, buf);
		}
		note(errno);
	}
	blocked(seen, "");
}

// do_exe PATH...: the file behind an exe link may not be opened for writing, neither at once nor through a descriptor
// that outlives the process (CVE-2019-5736). ETXTBSY on a writable mount means that only the moment was wrong; on a
// read-only one it is what the kernel says first.
static int writable(const char *path) {
	struct statfs fs;
	return opens(path, O_WRONLY) >= 0 || (errno == ETXTBSY && !statfs(path, &fs) && !(fs.f_flags & ST_RDONLY));
}

static void do_exe(char **paths) {
	char link[64];
	for (; *paths; paths++) {
		if (writable(*paths))
			ESCAPED("opened %s for writing", *paths);
		int fd = open(*paths, O_PATH | O_CLOEXEC);
		if (fd < 0)
			continue;
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		if (writable(link))
			ESCAPED("opened %s for writing, through a descriptor", *paths);
		if (!chmod(*paths, 0755))
			ESCAPED("changed the mode of %s", *paths);
	}
	blocked(seen, "");
}

// Descriptors.

// do_fds N: none is open from N on.
static void do_fds(char **args) {
	int n = 0, first = -1;
	for (int fd = atoi(args[0]); fd < 65536; fd++)
		if (fcntl(fd, F_GETFD) >= 0 && !n++)
			first = fd;
	if (n)
		ESCAPED("%d descriptors, the first is %d", n, first);
	blocked(EBADF, "");
}

// do_up PATH: PATH, relative to the host's root, cannot be reached from the working directory or a descriptor.
static void do_up(char **args) {
	static const char *bases[] = {".", "/proc/self/cwd", "/proc/self/root", "/proc/1/cwd", "/proc/1/root", "/proc/thread-self/cwd",
				      "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "/proc/self/fd/3", "/proc/self/fd/4", "/proc/self/fd/5",
				      "/proc/self/fd/6", "/proc/self/fd/7", "/proc/self/fd/8", "/proc/self/fd/9", "/proc/self/task/1/cwd", NULL};
	char up[2048] = "", path[8192];
	for (int depth = 0; depth < 24; depth++) {
		for (const char **b = bases; *b; b++) {
			snprintf(path, sizeof path, "%s/%s%s", *b, up, args[0]);
			if (opens(path, O_RDONLY) >= 0)
				ESCAPED("opened %s", path);
		}
		for (int fd = 0; fd < 64; fd++) {
			snprintf(path, sizeof path, "%s%s", up, args[0]);
			if (openat(fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) >= 0)
				ESCAPED("opened %s from descriptor %d", path, fd);
		}
		strcat(up, "../");
	}
	if (getcwd(path, sizeof path) && strncmp(path, "/", 1))
		ESCAPED("the working directory is %s", path);
	blocked(seen, "");
}

// Processes.

static void hold_on(const char *mark) {
	(void)mark;
	for (int sig = 1; sig < 65; sig++)
		signal(sig, SIG_IGN);
	for (int i = 0; i < 600; i++)
		usleep(200 * 1000);
	_exit(0);
}

// do_linger MARK HOW: leave a process behind that has left its parent, its session and its signals. MARK, in the
// command line, is for the one who looks from outside. HOW: exit (this process ends), stay, crash.
static void do_linger(char **args) {
	int fds[2];
	char c;
	if (pipe(fds))
		BROKEN("pipe: %m");
	if (fork() == 0) {
		setsid();
		if (fork() == 0) {
			setsid();
			prctl(PR_SET_PDEATHSIG, 0);
			prctl(PR_SET_CHILD_SUBREAPER, 1);
			prctl(PR_SET_DUMPABLE, 0);
			if (write(fds[1], "x", 1) != 1)
				_exit(3);
			hold_on(args[0]);
		}
		_exit(0);
	}
	if (read(fds[0], &c, 1) != 1)
		BROKEN("the child did not come up");
	say("ready");
	if (!strcmp(args[1], "stay"))
		hold_on(args[0]);
	if (!strcmp(args[1], "crash"))
		abort();
	_exit(0);
}

// do_killall: signals sent to everything and to init leave the sandbox's init alone and reach nobody else.
static void do_killall(char **args) {
	static const int sigs[] = {SIGKILL, SIGSTOP, SIGTERM, SIGINT, SIGSEGV, SIGABRT, SIGUSR1, SIGCHLD, SIGHUP};
	int pid = atoi(args[0]);
	for (unsigned i = 0; i < sizeof sigs / sizeof *sigs; i++)
		if (kill(pid, sigs[i]))
			note(errno);
	struct timespec start, now; // read through the vDSO: the filter may know no call that waits
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		if (pid > 0 && kill(pid, 0) && errno == ESRCH)
			ESCAPED("process %d is gone", pid);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 100);
	blocked(seen, "it still runs");
}

// do_ptrace PID, do_vm PID, do_getfd PID: rights over another process.
static void do_ptrace(char **args) {
	int pid = atoi(args[0]);
	if (!ptrace(PTRACE_SEIZE, pid, 0, 0))
		ESCAPED("seized %d", pid);
	note(errno);
	if (!ptrace(PTRACE_ATTACH, pid, 0, 0))
		ESCAPED("attached to %d", pid);
	blocked(seen, "");
}

static void do_vm(char **args) {
	int pid = atoi(args[0]);
	char buf[16];
	// The address is one that is mapped in this program; in a fork of it, it is the same.
	struct iovec local = {buf, sizeof buf}, remote = {(void *)strtoull(args[1], NULL, 0), sizeof buf};
	if (process_vm_readv(pid, &local, 1, &remote, 1, 0) >= 0 || errno == EFAULT)
		ESCAPED("read memory of %d", pid);
	note(errno);
	if (process_vm_writev(pid, &local, 1, &remote, 1, 0) >= 0 || errno == EFAULT)
		ESCAPED("wrote memory of %d", pid);
	blocked(seen, "");
}

static void do_getfd(char **args) {
	int pid = atoi(args[0]);
	int fd = syscall(434, pid, 0);
	if (fd < 0)
		blocked(errno, "pidfd_open");
	for (int i = 0; i < 16; i++) {
		int got = syscall(438, fd, i, 0);
		if (got >= 0)
			ESCAPED("took descriptor %d of %d", i, pid);
		note(errno);
	}
	if (!setns(fd, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET))
		ESCAPED("joined the namespaces of %d", pid);
	blocked(seen, "");
}

// do_children: after a child's exit, wait4 reports it (SIGCHLD is not ignored).
static void do_children(void) {
	int st = 0;
	sigset_t set;
	pid_t p = fork();
	if (p == 0)
		_exit(3);
	if (waitpid(p, &st, 0) != p || !WIFEXITED(st) || WEXITSTATUS(st) != 3)
		ESCAPED("waitpid: %m, status %x", st);
	sigprocmask(SIG_BLOCK, NULL, &set);
	for (int sig = 1; sig < 32; sig++)
		if (sigismember(&set, sig))
			ESCAPED("signal %d is blocked", sig);
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			ESCAPED("descriptor %d is closed", fd);
	blocked(0, "children, signals and stdio as they should be");
}

static void do_securebits(void) {
	int want = SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	if (prctl(PR_CAPBSET_READ, CAP_SETUID) != 1) // who may change ids says which capabilities it keeps
		want |= SECBIT_KEEP_CAPS_LOCKED;
	int got = prctl(PR_GET_SECUREBITS);
	if (got < 0)
		blocked(errno, "prctl");
	if ((got & want) != want)
		ESCAPED("securebits are %#x", got);
	blocked(0, "locked");
}

// Calls by number.

static uint64_t held(void) {
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2];
	if (syscall(SYS_capget, &h, d))
		BROKEN("capget");
	return d[0].permitted | d[0].effective | (uint64_t)(d[1].permitted | d[1].effective) << 32;
}

// do_dropped UID: root that becomes another user for good has no capabilities then, and is never root again.
static void do_dropped(char **args) {
	int id = atoi(*args);
	if (!held())
		BROKEN("nothing to lose");
	if (setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id))
		BROKEN("cannot become %d: %s", id, strerrorname_np(errno));
	if (held())
		ESCAPED("keeps capabilities %#llx", (unsigned long long)held());
	if (!setresuid(0, 0, 0) || !setresgid(0, 0, 0))
		ESCAPED("is root again");
	blocked(errno, "");
}

// do_confine: a program that confines itself as far as it may, and goes on if it may not. What it forbids itself must fail
// after that.
static void do_confine(char **dir) {
	uint64_t make_reg = 1 << 8; // LANDLOCK_ACCESS_FS_MAKE_REG, the first field of the ruleset
	dev_t dev;
	if (!creates(*dir, &dev))
		BROKEN("nothing can be created in %s: %s", *dir, strerrorname_np(seen));
	int fd = syscall(444, &make_reg, sizeof make_reg, 0);
	if (fd < 0 || syscall(446, fd, 0))
		note(errno);
	seen = 0;
	if (creates(*dir, &dev))
		ESCAPED("goes on unconfined");
	blocked(seen, "");
}

static char *low, *low_end; // memory below 4 GiB, for pointers that int 0x80 can take

static long argument(const char *s) {
	if (!low) {
		int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_32BIT
		flags |= MAP_32BIT;
#endif
		low = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, flags, -1, 0);
		if (low == MAP_FAILED)
			BROKEN("mmap: %m");
		low_end = low + (1 << 16);
	}
	char *p = low;
	if (!strncmp(s, "s:", 2)) { // a string
		strcpy(p, s + 2);
		low += (strlen(s + 2) + 16) & ~15;
		return (long)p;
	}
	if (!strncmp(s, "b:", 2)) { // zeros
		low += (atoi(s + 2) + 15) & ~15;
		return (long)p;
	}
	if (!strncmp(s, "q:", 2)) { // 64-bit numbers
		char *copy = strdup(s + 2);
		for (char *w = strtok(copy, ","); w; w = strtok(NULL, ","))
			*(uint64_t *)low = strtoull(w, NULL, 0), low += 8;
		low = (char *)(((uintptr_t)low + 15) & ~15ul);
		return (long)p;
	}
	if (!strncmp(s, "w:", 2)) { // 32-bit numbers
		char *copy = strdup(s + 2);
		for (char *w = strtok(copy, ","); w; w = strtok(NULL, ","))
			*(uint32_t *)low = strtoul(w, NULL, 0), low += 4;
		low = (char *)(((uintptr_t)low + 15) & ~15ul);
		return (long)p;
	}
	return (long)strtoull(s, NULL, 0);
}

static void arguments(char **args, long a[6]) {
	memset(a, 0, 6 * sizeof *a);
	for (int i = 0; i < 6 && args[i]; i++)
		a[i] = argument(args[i]);
}

// judge: a filter answers EPERM, EACCES or ENOSYS; any other answer is the call's own, so the call was reached.
// refusal reports whether an error is one that a filter or a missing right answers with. Sockets and locks are refused as by
// a kernel that has no such thing.
static int refusal(int err, const char *name) {
	if (!strncmp(name, "socket", 6) && (err == EAFNOSUPPORT || err == EPROTONOSUPPORT || err == ESOCKTNOSUPPORT || err == EOPNOTSUPP))
		return 1;
	return err == EPERM || err == ENOSYS || err == EACCES || err == ENOLCK;
}

static void judge(long ret, int err, const char *name) {
	if (ret >= 0)
		ESCAPED("%s = %ld", name, ret);
	if (!refusal(err, name))
		ESCAPED("%s was reached: %s", name, strerrorname_np(err));
	blocked(err, name);
}

// do_call NAME NR ARG...
static void do_call(char **args, long add) {
	long a[6];
	arguments(args + 2, a);
	long nr = strtol(args[1], NULL, 0) + add;
	long ret = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	int err = errno;
	if (ret == 0 && (!strcmp(args[0], "clone") || !strcmp(args[0], "clone3") || !strcmp(args[0], "fork")))
		_exit(0); // the child
	judge(ret, err, args[0]);
}

static void do_int80(char **args) {
#ifdef __x86_64__
	long a[6], ret;
	arguments(args + 2, a);
	long nr = strtol(args[1], NULL, 0);
	asm volatile("int $0x80"
		     : "=a"(ret)
		     : "a"(nr), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
		     : "memory", "r8", "r9", "r10", "r11");
	int low32 = (int)ret;
	judge(low32 < 0 && low32 > -4096 ? -1 : low32, -low32, args[0]);
#else
	(void)args;
	blocked(ENOSYS, "not this machine");
#endif
}

// do_nr NR: the number means nothing; the kernel or the filter must say so. Prints the errno, judges nothing else.
static void do_nr(char **args) {
	long nr = strtol(args[0], NULL, 0);
	long ret = syscall(nr, -1L, -1L, -1L, -1L, -1L, -1L);
	if (ret != -1)
		ESCAPED("call %ld = %ld", nr, ret);
	if (errno != ENOSYS && errno != EPERM)
		ESCAPED("call %ld was reached: %s", nr, strerrorname_np(errno));
	blocked(errno, args[0]);
}

// do_racing NR ARG...: the same call again and again, while another process changes the text at its first pointers.
static void do_racing(char **args) {
	long a[6], nr = strtol(args[0], NULL, 0);
	char *text = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (text == MAP_FAILED)
		BROKEN("mmap: %m");
	arguments(args + 1, a);
	for (int i = 0; i < 2; i++)
		if (!a[i])
			a[i] = (long)text;
	strcpy(text, "user");
	pid_t other = fork();
	if (!other)
		for (;;) {
			memcpy(text, "/etc", 5);
			memcpy(text, "\0\0\0\0", 5);
			memcpy(text, "user", 5);
		}
	long ret = -1;
	int err = 0;
	for (int i = 0; i < 3000 && ret == -1; i++) {
		ret = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		if (errno != EPERM || !err)
			err = errno;
	}
	kill(other, SIGKILL);
	judge(ret, err, "racing");
}

// do_listener: a descriptor that answers denied calls, found or made.
static void do_listener(char **args) {
	(void)args;
	char path[64], link[256];
	for (int fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		ssize_t n = readlink(path, link, sizeof link - 1);
		uint64_t id = 0;
		if (n > 0 && (link[n] = 0, strstr(link, "seccomp")))
			ESCAPED("%s is %s", path, link);
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == -1 && errno == ENOENT)
			ESCAPED("%s is a listener", path);
	}
	struct sock_filter ask[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_keyctl, 0, 1),
				    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog prog = {sizeof ask / sizeof *ask, ask};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog) >= 0)
		ESCAPED("a listener of its own");
	int err = errno;
	// A filter that asks a listener and has none: what is denied stays so.
	syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
	if (syscall(SYS_keyctl, 0, -3, 0) != -1)
		ESCAPED("keyctl");
	blocked(err, "a listener of its own");
}

// do_again execve|execveat|int80|x32 NONCE: become another program.
static void do_again(char **args) {
	char *argv[] = {"probe", "executed", NULL}, *envp[] = {NULL};
	uint64_t nonce = strtoull(args[1], NULL, 0);
	long ret = -1;
	if (!strcmp(args[0], "execve"))
		ret = syscall(SYS_execve, "/proc/self/exe", argv, envp, 0L, 0L, nonce);
	else if (!strcmp(args[0], "execveat"))
		ret = syscall(SYS_execveat, AT_FDCWD, "/proc/self/exe", argv, envp, 0L, nonce);
	else if (!strcmp(args[0], "fd"))
		ret = syscall(SYS_execveat, open("/proc/self/exe", O_PATH | O_CLOEXEC), "", argv, envp, (long)AT_EMPTY_PATH, nonce);
#ifdef __x86_64__
	else if (!strcmp(args[0], "x32"))
		ret = syscall(545 | 0x40000000, AT_FDCWD, "/proc/self/exe", argv, envp, 0L, nonce);
	else {
		long path = argument("s:/proc/self/exe");
		uint32_t *list = (uint32_t *)argument("b:16");
		list[0] = argument("s:probe"), list[1] = argument("s:executed");
		int low32 = -1;
		asm volatile("int $0x80" : "=a"(low32) : "a"(11), "b"(path), "c"(list), "d"(list + 2), "S"(0), "D"(nonce) : "memory", "r8", "r9", "r10", "r11");
		errno = -low32;
	}
#endif
	judge(ret, errno, args[0]);
}

static void do_executed(char **args) { (void)args; ESCAPED("another program runs"); }

// do_connect PATH|@NAME: a unix socket.
static void do_connect(char **args) {
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		blocked(errno, "socket");
	size_t n = strlen(args[0]);
	memcpy(sa.sun_path, args[0], n);
	if (sa.sun_path[0] == '@')
		sa.sun_path[0] = 0;
	if (!connect(fd, (struct sockaddr *)&sa, offsetof(struct sockaddr_un, sun_path) + n))
		ESCAPED("connected to %s", args[0]);
	blocked(errno, "connect");
}

// do_seize ENTRY DIR...: no directory may have an entry, or a socket at ENTRY/control that answers. What is tried with it
// besides, whoever started this sees from outside.
static void do_seize(char **args) {
	const char *entry = args[0];
	char path[4096];
	for (char **dir = args + 1; *dir; dir++) {
		struct sockaddr_un sa = {.sun_family = AF_UNIX};
		int fd = opens(*dir, O_RDONLY | O_DIRECTORY);
		if (fd >= 0 && has_entry(fd))
			ESCAPED("listed %s", *dir);
		snprintf(sa.sun_path, sizeof sa.sun_path, "%s/%s/control", *dir, entry);
		fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		if (fd >= 0 && !connect(fd, (struct sockaddr *)&sa, sizeof sa))
			ESCAPED("connected to %s", sa.sun_path);
		note(errno);
	}
	for (char **dir = args + 1; *dir; dir++) {
		snprintf(path, sizeof path, "%s~", *dir);
		if (rename(*dir, path))
			note(errno);
		if (rmdir(*dir))
			note(errno);
		mkdir(*dir, 0700);
		snprintf(path, sizeof path, "%s/0123456789ab@forged", *dir);
		if (mkdir(path, 0700))
			note(errno);
	}
	blocked(seen, "");
}

// do_tiocsti: no byte may be put into the terminal's input, whatever the high bits of the command say.
static void do_tiocsti(void) {
	static const unsigned long cmds[] = {TIOCSTI, TIOCSTI | 1ul << 32, TIOCSTI | 0xffffffff00000000ul, TIOCLINUX};
	char c = 'x';
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	for (unsigned i = 0; i < sizeof cmds / sizeof *cmds; i++)
		for (int f = 0; f < 4; f++) {
			int to = f == 3 ? fd : f;
			if (to >= 0 && !syscall(SYS_ioctl, to, cmds[i], &c))
				ESCAPED("ioctl %#lx on %d", cmds[i], to);
			if (to >= 0 && (errno != EPERM && errno != EACCES))
				ESCAPED("ioctl %#lx was reached: %s", cmds[i], strerrorname_np(errno));
			note(errno);
		}
	blocked(seen, "");
}

// The other side: what runs before the launcher.

static void raise_ambient(void) {
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {};
	if (syscall(SYS_capget, &h, d))
		BROKEN("capget: %m");
	d[0].inheritable = d[0].permitted;
	d[1].inheritable = d[1].permitted;
	if (syscall(SYS_capset, &h, d))
		BROKEN("capset: %m");
	for (int c = 0; c < 64; c++)
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0);
}

static void become(const char *id, int ambient) {
	int n = atoi(id);
	if (ambient)
		prctl(PR_SET_KEEPCAPS, 1);
	if (setgroups(0, NULL) || setresgid(n, n, n) || setresuid(n, n, n))
		BROKEN("setresuid %d: %m", n);
	if (ambient)
		raise_ambient();
}

static void limit(int what, const char *value) {
	struct rlimit r = {strtoul(value, NULL, 0), strtoul(value, NULL, 0)};
	if (setrlimit(what, &r))
		BROKEN("setrlimit: %m");
}

static const char *after(const char *s, const char *prefix) {
	return strncmp(s, prefix, strlen(prefix)) ? NULL : s + strlen(prefix);
}

// refuse makes a call answer ENOSYS, as a kernel does that has not got it.
static void refuse(int nr) {
	struct sock_filter insns[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
				      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog prog = {sizeof insns / sizeof *insns, insns};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog))
		BROKEN("a filter: %m");
}

static void prepare(const char *m) {
	sigset_t all;
	const char *v;
	sigfillset(&all);
	if (!strcmp(m, "sigchld-ignored"))
		signal(SIGCHLD, SIG_IGN);
	else if (!strcmp(m, "signals-ignored"))
		for (int sig = 1; sig < 65; sig++)
			signal(sig, SIG_IGN);
	else if (!strcmp(m, "signals-blocked"))
		sigprocmask(SIG_SETMASK, &all, NULL);
	else if (!strcmp(m, "dumpable-off"))
		prctl(PR_SET_DUMPABLE, 0);
	else if (!strcmp(m, "no-new-privs"))
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	else if (!strcmp(m, "cwd-removed")) {
		char dir[] = "/var/tmp/probe-XXXXXX";
		if (!mkdtemp(dir) || chdir(dir) || rmdir(dir))
			BROKEN("%s: %m", dir);
	} else if ((v = after(m, "umask=")))
		umask(strtol(v, NULL, 8));
	else if ((v = after(m, "close=")))
		close(atoi(v));
	else if ((v = after(m, "user=")))
		become(v, 0);
	else if ((v = after(m, "ambient-user=")))
		become(v, 1);
	else if ((v = after(m, "refuse=")))
		refuse(atoi(v));
	else if ((v = after(m, "nofile=")))
		limit(RLIMIT_NOFILE, v);
	else if ((v = after(m, "fsize=")))
		limit(RLIMIT_FSIZE, v);
	else if ((v = after(m, "nproc=")))
		limit(RLIMIT_NPROC, v);
	else if ((v = after(m, "core=")))
		limit(RLIMIT_CORE, v);
	else if ((v = after(m, "open="))) { // descriptors 3 to 19, kept across exec
		for (int fd = 3; fd < 20; fd++) {
			int got = open(v, O_RDONLY);
			if (got >= 0 && got != fd) {
				dup2(got, fd);
				close(got);
			}
		}
	} else if ((v = after(m, "stdin=")) || (v = after(m, "stderr="))) {
		int fd = open(v, O_RDONLY);
		if (fd < 0 || dup2(fd, m[3] == 'i' ? 0 : 2) < 0)
			BROKEN("%s: %m", v);
		close(fd);
	} else
		BROKEN("what is %s?", m);
}

// do_pre MODE... -- PROGRAM ARG...: run it in an odd environment.
static void do_pre(char **args) {
	for (; *args && strcmp(*args, "--"); args++)
		prepare(*args);
	if (!*args)
		BROKEN("no --");
	execvp(args[1], args + 1);
	BROKEN("%s: %m", args[1]);
}

struct attack {
	const char *name;
	void (*run)(char **args);
	int needs;
};

static void run_remount(char **a) { (void)a; do_remount(); }
static void run_kallsyms(char **a) { (void)a; do_kallsyms(); }
static void run_procreal(char **a) { (void)a; do_procreal(); }
static void run_children(char **a) { (void)a; do_children(); }
static void run_securebits(char **a) { (void)a; do_securebits(); }
static void run_ids(char **a) { (void)a; do_ids(); }
static void run_tiocsti(char **a) { (void)a; do_tiocsti(); }
static void run_call(char **a) { do_call(a, 0); }
static void run_x32(char **a) { do_call(a, 0x40000000); }

// run_wait: stay until stdin ends, for one who looks from outside.
static void run_wait(char **a) {
	(void)a;
	char c;
	say("ready");
	while (read(0, &c, 1) > 0)
		;
	blocked(0, "waited");
}

static const struct attack attacks[] = {
	{"again", do_again, 2},		{"executed", do_executed, 0},  {"listener", do_listener, 0},
	{"racing", do_racing, 2},
	{"call", run_call, 2},		{"children", run_children, 0}, {"connect", do_connect, 1},
	{"confine", do_confine, 1},	{"dropped", do_dropped, 1},
	{"exe", do_exe, 1},		{"exec", do_exec, 1},	       {"fds", do_fds, 1},
	{"getfd", do_getfd, 1},		{"grep", do_grep, 2},	       {"int80", do_int80, 2},
	{"kallsyms", run_kallsyms, 0},	{"killall", do_killall, 1},    {"linger", do_linger, 2},
	{"mknod", do_mknod, 1},		{"nr", do_nr, 1},	       {"peek", do_peek, 1},
	{"environ", do_environ, 1},	{"ids", run_ids, 0},
	{"procreal", run_procreal, 0}, {"procs", do_procs, 1},
	{"ptrace", do_ptrace, 1},	{"read", do_read, 1},	       {"remount", run_remount, 0},
	{"reopen", do_reopen, 1},
	{"securebits", run_securebits, 0}, {"seize", do_seize, 2},
	{"tiocsti", run_tiocsti, 0}, {"up", do_up, 1},
	{"vm", do_vm, 2},		{"wait", run_wait, 0},	       {"walk", do_walk, 1},
	{"write", do_write, 1},		{"x32", run_x32, 2},
};

int main(int argc, char **argv) {
	if (argc >= 2 && !strcmp(argv[1], "pre")) {
		do_pre(argv + 2);
		return 2;
	}
	for (unsigned i = 0; argc >= 2 && i < sizeof attacks / sizeof *attacks; i++)
		if (!strcmp(argv[1], attacks[i].name) && argc - 2 >= attacks[i].needs) {
			say("trying %s", argv[1]);
			attacks[i].run(argv + 2);
			BROKEN("%s said nothing", argv[1]);
		}
	BROKEN("usage: probe ATTACK ARG...");
}
