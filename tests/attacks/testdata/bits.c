// What a task may try to leave a file behind that gives somebody else's rights to whoever runs it. It judges nothing: the
// test looks at the directory from outside.
//
//	bits KIND DIR

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define NR_FCHMODAT2 452
#define NR_OPENAT2 437
#define NR_SETXATTRAT 463
#define BARE_TMPFILE 020000000

static const long modes[] = {04755, 02755, 06777, 06755, 04711, 0xffff0000L | 04755, 0x700000000L | 02755};
static const char *name; // of the file of this attempt
static int fd;           // open on it

// each runs an attempt in a process of its own, on a file of its own: a filter may kill.
static void each(const char *label, void (*attempt)(long mode)) {
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		char path[64];
		snprintf(path, sizeof path, "%s-%zu", label, i);
		if (fork() == 0) {
			name = path;
			attempt(modes[i]);
			_exit(0);
		}
		wait(NULL);
	}
}

static void with_file(const char *label, void (*attempt)(long mode)) {
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		char path[64];
		snprintf(path, sizeof path, "%s-%zu", label, i);
		if ((fd = open(path, O_RDWR | O_CREAT, 0755)) < 0) {
			printf("broken %s: %s\n", path, strerror(errno));
			exit(1);
		}
		if (fork() == 0) {
			name = path;
			attempt(modes[i]);
			_exit(0);
		}
		wait(NULL);
		close(fd);
	}
}

static void by_chmod(long m) { syscall(SYS_chmod, name, m); }
static void by_fchmod(long m) { syscall(SYS_fchmod, fd, m); }
static void by_fchmodat(long m) { syscall(SYS_fchmodat, AT_FDCWD, name, m); }
static void by_fchmodat2(long m) { syscall(NR_FCHMODAT2, AT_FDCWD, name, m, 0); }
static void by_nofollow(long m) { syscall(NR_FCHMODAT2, AT_FDCWD, name, m, AT_SYMLINK_NOFOLLOW); }
static void by_empty(long m) { syscall(NR_FCHMODAT2, fd, "", m, AT_EMPTY_PATH); }
static void by_dirfd(long m) { syscall(SYS_fchmodat, open(".", O_PATH), name, m); }
static void by_link(long m) {
	char link[80];
	snprintf(link, sizeof link, "%s.l", name);
	if (symlink(name, link) == 0)
		syscall(SYS_chmod, link, m);
}
static void by_proc(long m) {
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	syscall(SYS_chmod, path, m);
	snprintf(path, sizeof path, "/proc/thread-self/fd/%d", fd);
	syscall(SYS_chmod, path, m);
}
static void by_path_fd(long m) { syscall(SYS_fchmod, open(name, O_PATH), m); }

static void modes_of(void) {
	with_file("chmod", by_chmod);
	with_file("fchmod", by_fchmod);
	with_file("fchmodat", by_fchmodat);
	with_file("fchmodat2", by_fchmodat2);
	with_file("nofollow", by_nofollow);
	with_file("empty", by_empty);
	with_file("dirfd", by_dirfd);
	with_file("link", by_link);
	with_file("proc", by_proc);
	with_file("pathfd", by_path_fd);
}

static void make_creat(long m) { syscall(SYS_creat, name, m); }
static void make_open(long m) { syscall(SYS_open, name, O_CREAT | O_RDWR, m); }
static void make_excl(long m) { syscall(SYS_open, name, O_CREAT | O_EXCL | O_WRONLY | O_TRUNC | 0x7f00000000L, m); }
static void make_openat(long m) { syscall(SYS_openat, AT_FDCWD, name, O_CREAT | O_RDWR, m); }
static void make_openat2(long m) {
	uint64_t how[3] = {O_CREAT | O_RDWR, m & 07777, 0};
	syscall(NR_OPENAT2, AT_FDCWD, name, how, sizeof how);
}
static void put(int f) {
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", f);
	if (f >= 0)
		linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}
static void make_tmpfile(long m) { put(syscall(SYS_open, ".", O_TMPFILE | O_RDWR, m)); }
static void make_tmpfileat(long m) { put(syscall(SYS_openat, AT_FDCWD, ".", O_TMPFILE | O_WRONLY, m)); }
static void make_bare(long m) { put(syscall(SYS_openat, AT_FDCWD, ".", BARE_TMPFILE | O_RDWR, m)); }
static void make_tmpfile2(long m) {
	uint64_t how[3] = {O_TMPFILE | O_RDWR, m & 07777, 0};
	put(syscall(NR_OPENAT2, AT_FDCWD, ".", how, sizeof how));
}
static void make_mknod(long m) { syscall(SYS_mknod, name, S_IFREG | m, 0); }
static void make_mknod0(long m) { syscall(SYS_mknod, name, m, 0); }
static void make_mknodat(long m) { syscall(SYS_mknodat, AT_FDCWD, name, S_IFREG | m, 0); }

static void new_files(void) {
	umask(0);
	each("creat", make_creat);
	each("open", make_open);
	each("excl", make_excl);
	each("openat", make_openat);
	each("openat2", make_openat2);
	each("tmpfile", make_tmpfile);
	each("tmpfileat", make_tmpfileat);
	each("bare", make_bare);
	each("tmpfile2", make_tmpfile2);
	each("mknod", make_mknod);
	each("mknod0", make_mknod0);
	each("mknodat", make_mknodat);
}

#ifdef __x86_64__
static char *low; // memory that a 32-bit pointer reaches

static void int80(long nr, long a, long b, long c, long d) {
	long ret;
	asm volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d) : "memory", "r8", "r9", "r10", "r11");
}
static char *lowname(void) { return strcpy(low, name); }
static void i_chmod(long m) { int80(15, (long)lowname(), m, 0, 0); }
static void i_fchmod(long m) { int80(94, fd, m, 0, 0); }
static void i_fchmodat(long m) { int80(306, -100, (long)lowname(), m, 0); }
static void i_fchmodat2(long m) { int80(NR_FCHMODAT2, -100, (long)lowname(), m, 0); }
static void i_creat(long m) { int80(8, (long)lowname(), m, 0, 0); }
static void i_open(long m) { int80(5, (long)lowname(), O_CREAT | O_RDWR, m, 0); }
static void i_openat(long m) { int80(295, -100, (long)lowname(), O_CREAT | O_RDWR, m); }
static void i_mknod(long m) { int80(14, (long)lowname(), S_IFREG | m, 0, 0); }
static void i_mknodat(long m) { int80(297, -100, (long)lowname(), S_IFREG | m, 0); }
static void x_chmod(long m) { syscall(SYS_chmod | 0x40000000, name, m); }
static void x_fchmod(long m) { syscall(SYS_fchmod | 0x40000000, fd, m); }
static void x_openat(long m) { syscall(SYS_openat | 0x40000000, AT_FDCWD, name, O_CREAT | O_RDWR, m); }
static void x_mknod(long m) { syscall(SYS_mknod | 0x40000000, name, S_IFREG | m, 0); }
#endif

static void other_abis(void) {
#ifdef __x86_64__
	low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	umask(0);
	with_file("i-chmod", i_chmod);
	with_file("i-fchmod", i_fchmod);
	with_file("i-fchmodat", i_fchmodat);
	with_file("i-fchmodat2", i_fchmodat2);
	each("i-creat", i_creat);
	each("i-open", i_open);
	each("i-openat", i_openat);
	each("i-mknod", i_mknod);
	each("i-mknodat", i_mknodat);
	with_file("x-chmod", x_chmod);
	with_file("x-fchmod", x_fchmod);
	each("x-openat", x_openat);
	each("x-mknod", x_mknod);
#endif
}

static void capabilities(void) {
	const uint32_t forms[][6] = {{0x02000001, ~0u, 0, ~0u, 0}, {0x03000001, ~0u, 0, ~0u, 0, 0}, {0x03000001, ~0u, 0, ~0u, 0, getuid()}, {0x01000001, ~0u, 0}};
	const size_t sizes[] = {20, 24, 24, 12};
	struct { uint64_t value; uint32_t size, flags; } args;
	for (int i = 0; i < 4; i++)
		for (int how = 0; how < 4; how++) {
			char path[64];
			snprintf(path, sizeof path, "cap-%d-%d", i, how);
			fd = open(path, O_RDWR | O_CREAT, 0755);
			args.value = (uintptr_t)forms[i], args.size = sizes[i], args.flags = 0;
			switch (how) {
			case 0: setxattr(path, "security.capability", forms[i], sizes[i], 0); break;
			case 1: lsetxattr(path, "security.capability", forms[i], sizes[i], 0); break;
			case 2: fsetxattr(fd, "security.capability", forms[i], sizes[i], 0); break;
			case 3: syscall(NR_SETXATTRAT, AT_FDCWD, path, 0, "security.capability", &args, sizeof args); break;
			}
			close(fd);
		}
}

// The launcher makes a call in the task's place for a directory. These change what the call means meanwhile.

static volatile int stop;
static char racing[16];
static int flip;

static void *swap_names(void *arg) {
	(void)arg;
	while (!stop)
		renameat2(AT_FDCWD, "race-a", AT_FDCWD, "race-b", RENAME_EXCHANGE);
	return NULL;
}
static void *swap_memory(void *arg) {
	(void)arg;
	while (!stop)
		racing[5] = racing[5] == 'a' ? 'b' : 'a';
	return NULL;
}
static void *swap_descriptors(void *arg) {
	(void)arg;
	int a = open("race-a", O_RDONLY), b = open("race-b", O_RDONLY);
	while (!stop)
		dup2(a, flip), dup2(b, flip);
	return NULL;
}

static void race(void *(*other)(void *), int by_fd) {
	pthread_t t;
	stop = 0;
	strcpy(racing, "race-a");
	flip = open("race-a", O_RDONLY);
	pthread_create(&t, NULL, other, NULL);
	struct timespec begin, now;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		if (by_fd)
			syscall(SYS_fchmod, flip, 06755);
		else
			syscall(SYS_chmod, racing, 06755), syscall(SYS_fchmodat, AT_FDCWD, racing, 02755);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < 500);
	stop = 1;
	pthread_join(t, NULL);
}

static void races(void) {
	mkdir("race-a", 0755);
	close(open("race-b", O_CREAT | O_RDWR, 0755));
	race(swap_names, 0);
	race(swap_memory, 0);
	race(swap_descriptors, 1);
}

// on_stdin changes the caller's file by the descriptor, and by its names. It reads six bytes.
static void on_stdin(void) {
	const struct timespec old[2] = {{1, 0}, {1, 0}};
	const char *names[] = {"/proc/self/fd/0", "/dev/stdin", "/proc/thread-self/fd/0"};
	char buf[6];
	int n = read(0, buf, sizeof buf);
	fchmod(0, 0777);
	futimens(0, old);
	fsetxattr(0, "user.mark", "x", 1, 0);
	if (fchown(0, -1, getgid()) || ftruncate(0, 0) || write(0, "x", 1) < 0)
		n = -1;
	for (int i = 0; i < 3; i++) {
		chmod(names[i], 0777);
		fchmodat(AT_FDCWD, names[i], 0777, 0);
		utimensat(AT_FDCWD, names[i], old, 0);
		setxattr(names[i], "user.mark", "x", 1, 0);
		if (truncate(names[i], 0) == 0 || open(names[i], O_WRONLY | O_TRUNC) >= 0)
			n = -1;
	}
	syscall(NR_FCHMODAT2, 0, "", 0777, AT_EMPTY_PATH);
	syscall(SYS_utimensat, 0, NULL, old, 0);
	(void)n;
}

int main(int argc, char **argv) {
	if (argc != 3 || chdir(argv[2])) {
		printf("broken %s\n", strerror(errno));
		return 1;
	}
	setvbuf(stdout, NULL, _IONBF, 0);
	struct { const char *name; void (*run)(void); } kinds[] = {
		{"modes", modes_of}, {"new", new_files}, {"abis", other_abis}, {"caps", capabilities}, {"races", races}, {"stdin", on_stdin}};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(argv[1], kinds[i].name)) {
			kinds[i].run();
			printf("tried\n");
			return 0;
		}
	printf("broken what is %s?\n", argv[1]);
	return 1;
}
