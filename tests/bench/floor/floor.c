// The floor: a straight-line program that builds the sandbox of cordon's default profile and runs one command in it.
//
//	gcc -O2 -static -o floor floor.c && ./floor /bin/true
//
// It is what the kernel's part of a launch costs, so that cordon can be measured against something that cannot be made
// much faster. It does: seven new namespaces (user, mount, pid, ipc, uts, cgroup, net); the host's tree read-only,
// recursively; an empty /tmp, /run, home and so on; the password files and mail hidden; the working directory, read-only,
// inside; a proc of its own with the masked and read-only paths; a minimal /dev with pts and shm; its own loopback, up;
// a host name; pid 1 that reaps; an empty bounding set and no capabilities; no_new_privs; a session of its own; no
// inherited descriptors; a seccomp filter of 305 instructions. Started by root, the task is an unprivileged id of the
// host and the working directory is idmapped to it, as in cordon.
//
// It leaves out what makes a launcher: profiles, errors worth reading, targets resolved through descriptors
// (it follows symbolic links; do not use it for anything), Landlock, rlimits, a filter that filters,
// an environment, signals, time limits, reading back what was enforced, and a report.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEW_NAMESPACES                                                                                               \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWNET)
#define QUIET (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define COUNT(a) (sizeof(a) / sizeof *(a))
#define FIRST_TASK_ID 1000000000u // and the pid: the host id of the task when root starts it

static void die(const char *what)
{
	perror(what);
	_exit(125);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

static int tree(const char *path, unsigned flags)
{
	int fd = syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
	if (fd < 0)
		die(path);
	return fd;
}

static void restrict_tree(int fd, const char *path, unsigned long set, unsigned flags)
{
	struct mount_attr attr = {.attr_set = set};
	if (syscall(SYS_mount_setattr, fd, path, flags, &attr, sizeof attr))
		die("mount_setattr");
}

static void attach(int fd, const char *target)
{
	if (syscall(SYS_move_mount, fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH))
		die(target);
	close(fd);
}

static void restrict_whole(int fd)
{
	restrict_tree(fd, "", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, AT_EMPTY_PATH | AT_RECURSIVE);
}

static void make_dirs(char *path)
{
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = 0;
		mkdir(path, 0755);
		*p = '/';
	}
	mkdir(path, 0755);
}

static void proc(void)
{
	static const char *files[] = {"proc/interrupts", "proc/kcore",	     "proc/keys",	 "proc/latency_stats",
				      "proc/timer_list", "proc/timer_stats", "proc/sched_debug"};
	static const char *dirs[] = {"proc/acpi", "proc/asound", "proc/scsi"};
	static const char *read_only[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};

	if (mount("proc", "proc", "proc", QUIET, 0))
		die("proc");
	for (unsigned i = 0; i < COUNT(files); i++)
		if (mount("/dev/null", files[i], 0, MS_BIND, 0) && errno != ENOENT)
			die(files[i]);
	for (unsigned i = 0; i < COUNT(dirs); i++)
		if (mount("tmpfs", dirs[i], "tmpfs", QUIET | MS_RDONLY, "size=0,nr_inodes=1") && errno != ENOENT)
			die(dirs[i]);
	for (unsigned i = 0; i < COUNT(read_only); i++) {
		if (mount(read_only[i], read_only[i], 0, MS_BIND, 0)) {
			if (errno != ENOENT)
				die(read_only[i]);
			continue;
		}
		restrict_tree(AT_FDCWD, read_only[i], MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0);
	}
}

static void dev(void)
{
	static const char *nodes[][2] = {{"/dev/null", "dev/null"},	{"/dev/zero", "dev/zero"},	 {"/dev/full", "dev/full"},
					 {"/dev/random", "dev/random"}, {"/dev/urandom", "dev/urandom"}, {"/dev/tty", "dev/tty"}};
	static const char *links[][2] = {{"/proc/self/fd", "dev/fd"},	    {"/proc/self/fd/0", "dev/stdin"},
					 {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"},
					 {"pts/ptmx", "dev/ptmx"}};

	if (mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755"))
		die("dev");
	for (unsigned i = 0; i < COUNT(nodes); i++) {
		if (mknod(nodes[i][1], S_IFREG | 0600, 0) || mount(nodes[i][0], nodes[i][1], 0, MS_BIND, 0))
			die(nodes[i][1]);
	}
	for (unsigned i = 0; i < COUNT(links); i++)
		if (symlink(links[i][0], links[i][1]))
			die(links[i][1]);
	if (mkdir("dev/pts", 0755) || mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"))
		die("dev/pts");
	if (mkdir("dev/shm", 0755) || mount("tmpfs", "dev/shm", "tmpfs", QUIET, "mode=1777"))
		die("dev/shm");
	restrict_tree(AT_FDCWD, "dev", MOUNT_ATTR_RDONLY, 0);
}

// cover empties directories and hides what the profile names, where the host has it.
static void cover(char *home)
{
	static const char *dirs[] = {"run", "tmp", "var/tmp", "mnt", "media", "srv", "home", "root"};
	static const char *files[] = {"etc/shadow", "etc/shadow-", "etc/gshadow", "etc/gshadow-"};

	for (unsigned i = 0; i < COUNT(dirs); i++)
		if (mount("tmpfs", dirs[i], "tmpfs", MS_NOSUID | MS_NODEV, i == 1 || i == 2 ? "mode=1777" : "mode=755") && errno != ENOENT)
			die(dirs[i]);
	make_dirs(home + 1);
	if (mount("tmpfs", home + 1, "tmpfs", MS_NOSUID | MS_NODEV, "mode=700"))
		die(home);
	for (unsigned i = 0; i < COUNT(files); i++)
		if (mount("/dev/null", files[i], 0, MS_BIND, 0) && errno != ENOENT)
			die(files[i]);
	if (mount("tmpfs", "var/mail", "tmpfs", QUIET | MS_RDONLY, "mode=0,nr_inodes=1") && errno != ENOENT)
		die("var/mail");
}

// new_root is built on /tmp and becomes /. Paths are relative to it: that is the same as under it after pivot_root.
// here is the working directory, detached.
static void new_root(char *home, char *cwd, int here)
{
	if (mount("none", "/", 0, MS_REC | MS_SLAVE, 0))
		die("slave");
	int root = tree("/", AT_RECURSIVE);
	restrict_whole(root);
	attach(root, "/tmp");
	if (chdir("/tmp"))
		die("/tmp");
	proc();
	dev();
	cover(home);
	make_dirs(cwd + 1);
	attach(here, cwd + 1);
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH))
		die("pivot_root");
	if (chdir(cwd))
		die(cwd);
}

static void loopback(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		die("loopback");
	close(fd);
}

// filter allows everything that there is: 149 numbers that no kernel has are refused one by one.
static void filter(void)
{
	static struct sock_filter code[305];
	unsigned n = 0;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	for (unsigned nr = 600; n < COUNT(code) - 2; nr++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {n, code};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		die("seccomp");
}

static void task(char **argv)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {0};
	setsid();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		die("no_new_privs");
	if (syscall(SYS_capset, &header, none))
		die("capset");
	syscall(SYS_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
	filter();
	execv(argv[0], argv);
	die(argv[0]);
}

static int ended(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// A descriptor goes from root's launcher to the child with the message that the map is written.
union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

static void send_fd(int to, int fd)
{
	char text = 'M';
	union control control = {.header = {CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec data = {&text, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	if (sendmsg(to, &message, MSG_NOSIGNAL) != 1)
		die("sendmsg");
}

static int receive_fd(int from)
{
	char text;
	int fd;
	union control control;
	struct iovec data = {&text, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1 || message.msg_controllen < sizeof control)
		die("recvmsg");
	memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
	return fd;
}

// map_as_root gives the child an id of the host that is nobody's, and the working directory mapped to that id.
static void map_as_root(int pid, int to)
{
	char path[64], map[64];
	snprintf(map, sizeof map, "0 %u 1", FIRST_TASK_ID + pid);
	snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
	put(path, map);
	snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
	put(path, map);
	snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
	int userns = open(path, O_RDONLY | O_CLOEXEC), here = tree(".", AT_RECURSIVE);
	restrict_whole(here);
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = userns};
	if (syscall(SYS_mount_setattr, here, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr))
		die("idmap");
	send_fd(to, here);
}

static int map_as_user(unsigned uid, unsigned gid)
{
	char text[64];
	put("/proc/self/setgroups", "deny");
	snprintf(text, sizeof text, "%u %u 1", uid, uid);
	put("/proc/self/uid_map", text);
	snprintf(text, sizeof text, "%u %u 1", gid, gid);
	put("/proc/self/gid_map", text);
	int here = tree(".", AT_RECURSIVE);
	restrict_whole(here);
	return here;
}

static void child(int from, unsigned uid, unsigned gid, char *home, char *cwd, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	int here = uid == 0 ? receive_fd(from) : map_as_user(uid, gid);
	if (uid == 0 && (setresgid(0, 0, 0) || setresuid(0, 0, 0)))
		die("setresuid");
	new_root(home, cwd, here);
	loopback();
	if (sethostname("floor", 5))
		die("sethostname");
	for (int i = 0; prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0; i++)
		;
	int pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		task(argv);
	for (int status, got; (got = wait(&status)) > 0 || errno == EINTR;)
		if (got == pid)
			_exit(ended(status));
	_exit(125);
}

int main(int argc, char **argv)
{
	static char home[4096], cwd[4096];
	unsigned uid = getuid(), gid = getgid();
	int pair[2], status;

	if (argc < 2 || argv[1][0] != '/' || !getcwd(cwd, sizeof cwd) || snprintf(home, sizeof home, "%s", getenv("HOME")) < 2) {
		fprintf(stderr, "usage: HOME=DIR floor /PROGRAM [ARGUMENT...]\n");
		return 125;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		die("socketpair");
	int pid = syscall(SYS_clone, NEW_NAMESPACES | SIGCHLD, 0, 0, 0, 0);
	if (pid < 0)
		die("clone");
	if (pid == 0)
		child(pair[0], uid, gid, home, cwd, argv + 1);
	if (uid == 0)
		map_as_root(pid, pair[1]);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return ended(status);
}
