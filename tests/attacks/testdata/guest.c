// guest does what a task could do to what belongs to its caller: another sandbox's control socket, the caller's pipes and
// terminal. Its answers are those of the probe: "escaped …", "blocked …", "broken …".

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

static void answer(const char *state, const char *detail) {
	printf("%s %s\n", state, detail);
	fflush(stdout);
	exit(0);
}

// ask PATH REQUEST: send one request to a control socket, and read the reply. sun_path is too short for a long PATH, so that the
// last name is taken from its directory.
static void ask(char **args) {
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	char reply[4096] = "", *name = strrchr(args[0], '/');
	*name++ = 0;
	if (chdir(args[0]))
		answer("blocked", strerrorname_np(errno));
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", name);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa))
		answer("blocked", strerrorname_np(errno));
	send(fd, args[1], strlen(args[1]), MSG_NOSIGNAL);
	if (recv(fd, reply, sizeof reply - 1, 0) > 0)
		answer("escaped", reply);
	answer("blocked", "no reply");
}

// reopened opens a standard file by name, the other way round.
static int reopened(int number, int flags) {
	static const char *names[] = {"/proc/self/fd/%d", "/dev/fd/%d", "/proc/thread-self/fd/%d", "/proc/1/fd/%d"};
	char path[64];
	fchmod(number, 0666);
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, names[i], number);
		int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

// inject: write into the pipe that stdin is, and change its flags; whoever started this looks at it.
static void inject(void) {
	int fd = reopened(0, O_WRONLY);
	fcntl(0, F_SETFL, O_NONBLOCK);
	if (fd >= 0 && write(fd, "injected\n", 9) != 9)
		answer("blocked", strerrorname_np(errno));
	answer("blocked", fd >= 0 ? "a pipe of its own" : strerrorname_np(errno));
}

// drink: read from the pipes that stdout and stderr are.
static void drink(void) {
	int got = 0;
	for (int i = 1; i <= 2; i++) {
		char buf[64] = "";
		int fd = reopened(i, O_RDONLY);
		got |= fd >= 0 && read(fd, buf, sizeof buf - 1) > 0 && strstr(buf, "unread");
		fcntl(i, F_SETFL, O_NONBLOCK);
	}
	answer(got ? "escaped" : "blocked", got ? "read what others wrote" : "nothing to read");
}

// grab: take what is typed at the terminal that this program can open, for five seconds.
static void grab(void) {
	struct termios mode;
	struct pollfd p = {open("/dev/tty", O_RDWR | O_CLOEXEC), POLLIN, 0};
	char c;
	if (p.fd < 0 || tcgetattr(p.fd, &mode))
		answer("blocked", "no terminal");
	cfmakeraw(&mode);
	mode.c_oflag |= OPOST | ONLCR;
	tcsetattr(p.fd, TCSANOW, &mode);
	printf("up\n");
	fflush(stdout);
	if (poll(&p, 1, 5000) > 0 && read(p.fd, &c, 1) == 1)
		answer("escaped", "took a key");
	answer("blocked", "nothing typed");
}

int main(int argc, char **argv) {
	printf("trying %s\n", argc > 1 ? argv[1] : "");
	fflush(stdout);
	if (argc == 4 && !strcmp(argv[1], "ask"))
		ask(argv + 2);
	if (argc == 2 && !strcmp(argv[1], "inject"))
		inject();
	if (argc == 2 && !strcmp(argv[1], "grab"))
		grab();
	if (argc == 2 && !strcmp(argv[1], "drink"))
		drink();
	answer("broken", "usage: guest VERB ARG...");
}
