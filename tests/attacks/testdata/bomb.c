// bomb takes as much of something as it is told to, and says how far it came:
//
//	trying KIND
//	blocked ERRNO N		it was refused at N
//	escaped N		it got all
//
// Where it is killed it says nothing more. It never takes more than it is told to, and what it has taken goes with it.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1L << 20)

static void done(const char *state, const char *err, long n) {
	char buf[100];
	int len = snprintf(buf, sizeof buf, "%s %s %ld\n", state, err, n);
	if (write(2, buf, len) != len)
		_exit(3);
	_exit(!strcmp(state, "escaped"));
}

static void refused(long n) { done("blocked", strerrorname_np(errno), n); }

static volatile long *shared; // counter of all processes

static void child(void) {
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(20);
}

// forks: every process makes others, until there are so many.
static void forks(long most) {
	pid_t first = getpid();
	while (__sync_fetch_and_add(shared, 1) < most) {
		pid_t pid = fork();
		if (pid < 0) {
			if (getpid() == first)
				refused(*shared);
			pause();
		}
		if (pid == 0)
			child();
	}
	if (getpid() == first)
		done("escaped", "-", *shared);
	pause();
}

static void zombies(long most) {
	for (long i = 0; i < most; i++) {
		pid_t pid = fork();
		if (pid < 0)
			refused(i);
		if (pid == 0)
			_exit(0);
	}
}

static void memory(long most) {
	for (long i = 0; i < most; i += MIB) {
		char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			refused(i);
		memset(p, 1, MIB);
	}
}

static void locked(long most) {
	for (long i = 0; i < most; i += MIB) {
		char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED || mlock(p, MIB))
			refused(i);
	}
}

static void segments(long most) {
	for (long i = 0; i < most; i += 16 * MIB) {
		int id = shmget(IPC_PRIVATE, 16 * MIB, 0600);
		if (id < 0)
			refused(i);
		char *p = shmat(id, NULL, 0);
		shmctl(id, IPC_RMID, NULL);
		if (p == (void *)-1)
			refused(i);
		memset(p, 1, 16 * MIB);
	}
}

static int scratch(void) {
	const char *dirs[] = {"/tmp/bomb", "./bomb"};
	for (int i = 0; i < 2; i++) {
		int fd = open(dirs[i], O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd >= 0) {
			unlink(dirs[i]);
			return fd;
		}
	}
	refused(0);
	return -1;
}

static void writes(int fd, long most) {
	static char buf[64 << 10];
	memset(buf, 'x', sizeof buf);
	for (long i = 0; i < most;) {
		long n = write(fd, buf, sizeof buf);
		if (n < 0)
			refused(i);
		i += n;
	}
}

static void fill(long most) { writes(scratch(), most); }

static void flood(long most) { writes(1, most); }

static void sparse(long most) {
	if (ftruncate(scratch(), most))
		refused(0);
}

static void widest(void) {
	struct rlimit r;
	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

static void files(long most) {
	widest();
	for (long i = 0; i < most; i++)
		if (dup(2) < 0)
			refused(i);
}

// denied makes calls that every profile denies.
static void denied(long most) {
	for (int i = 0; i < 3; i++)
		if (fork() == 0) {
			child();
			for (;;)
				syscall(SYS_keyctl, 0, -4, 1);
		}
	for (long i = 0; i < most; i++)
		syscall(SYS_keyctl, 0, -4, 1);
}

static void watches(long most) {
	widest();
	for (long i = 0; i < most; i++) {
		int fd = inotify_init1(0);
		if (fd < 0 || inotify_add_watch(fd, "/", IN_CREATE) < 0)
			refused(i);
	}
}

static void spin(long seconds) {
	for (int i = 0; i < 3; i++)
		if (fork() == 0) {
			child();
			for (;;)
				;
		}
	sleep(seconds);
}

int main(int argc, char **argv) {
	static const struct {
		const char *name;
		void (*run)(long);
	} kinds[] = {{"forks", forks}, {"zombies", zombies}, {"memory", memory}, {"locked", locked}, {"segments", segments}, {"fill", fill},
		     {"flood", flood}, {"sparse", sparse}, {"files", files}, {"watches", watches}, {"spin", spin},
		     {"denied", denied}};
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (unsigned i = 0; argc == 3 && i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(argv[1], kinds[i].name)) {
			dprintf(2, "trying %s\n", argv[1]);
			kinds[i].run(atol(argv[2]));
			done("escaped", "-", atol(argv[2]));
		}
	dprintf(2, "broken usage: bomb KIND N\n");
	return 2;
}
