// guest does what a task could do to what belongs to its caller: another sandbox's control socket, the caller's pipes and
// terminal. Its answers are those of the probe: "escaped …", "blocked …", "broken …".

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void answer(const char *state, const char *detail) {
	printf("%s %s\n", state, detail);
	fflush(stdout);
	exit(0);
}

// ask PATH REQUEST: send one request to a control socket, and read the reply.
static void ask(char **args) {
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	char reply[4096] = "";
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", args[0]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa))
		answer("blocked", strerrorname_np(errno));
	send(fd, args[1], strlen(args[1]), MSG_NOSIGNAL);
	if (recv(fd, reply, sizeof reply - 1, 0) > 0)
		answer("escaped", reply);
	answer("blocked", "no reply");
}

int main(int argc, char **argv) {
	printf("trying %s\n", argc > 1 ? argv[1] : "");
	fflush(stdout);
	if (argc == 4 && !strcmp(argv[1], "ask"))
		ask(argv + 2);
	answer("broken", "usage: guest VERB ARG...");
}
