// longargs SIZE FILE: a process whose arguments and environment are SIZE bytes each, for nothing: prctl(2), PR_SET_MM_MAP.
// It makes FILE when it is ready, and sleeps for a minute.
#include <fcntl.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static unsigned long long field(int n)
{
	char text[2048] = "";
	FILE *f = fopen("/proc/self/stat", "r");
	if (!f || !fread(text, 1, sizeof text - 1, f))
		exit(1);
	fclose(f);
	char *p = strrchr(text, ')') + 2;
	for (int i = 3; i < n; i++)
		p = strchr(p, ' ') + 1;
	return strtoull(p, 0, 10);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	size_t size = strtoull(argv[1], 0, 10);
	char *all = mmap(0, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct prctl_mm_map m = {0};
	m.start_code = field(26), m.end_code = field(27), m.start_stack = field(28);
	m.start_data = field(45), m.end_data = field(46), m.start_brk = field(47), m.brk = (unsigned long)sbrk(0);
	m.arg_start = m.env_start = (unsigned long)all, m.arg_end = m.env_end = (unsigned long)all + size;
	m.exe_fd = -1;
	if (all == MAP_FAILED || prctl(PR_SET_MM, PR_SET_MM_MAP, &m, sizeof m, 0)) {
		perror("PR_SET_MM_MAP");
		return 1;
	}
	close(open(argv[2], O_CREAT | O_WRONLY, 0644));
	sleep(60);
	return 0;
}
