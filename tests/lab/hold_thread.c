// SPDX-License-Identifier: GPL-2.0-only
/* hold_thread TID: stops one thread of a process, and no other, until this is ended. Prints {"ready":true}. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	pid_t tid = argc == 2 ? (pid_t)atoi(argv[1]) : 0;

	if (tid <= 0)
		errx(2, "usage: hold_thread TID");
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0 ||
	    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 || waitpid(tid, NULL, __WALL) < 0)
		err(1, "thread %d", tid);
	puts("{\"ready\":true}");
	fflush(stdout);
	pause();
	return 0;
}
