// SPDX-License-Identifier: GPL-2.0-only
/*
 * kill_at N CMD…: runs CMD, and kills it with SIGKILL in front of its N-th system call that can change
 * anything. Prints "killed CALL"; or, when CMD ended before, "ended STATUS CALLS".
 *
 * Calls of its children count, too: there the child is killed with it. A child that CMD alone leaves
 * behind runs to its end before this does. CMD's standard output goes where its errors go.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALL(name)                \
	{                         \
		SYS_##name, #name \
	}
#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

static const struct {
	long nr;
	const char *name;
} calls[] = {
	CALL(bpf),       CALL(sendto),
	CALL(sendmsg),   CALL(write),
	CALL(pwrite64),  CALL(fdatasync),
	CALL(ftruncate), CALL(openat),
	CALL(fcntl),     CALL(mkdirat),
	CALL(unlinkat),  CALL(renameat),
	CALL(renameat2), CALL(pidfd_send_signal),
	CALL(kill),      CALL(clone),
	CALL(clone3),    CALL(execve),
#ifdef SYS_mkdir /* not of the newer architectures */
	CALL(mkdir),     CALL(unlink),
	CALL(rename),    CALL(rmdir),
	CALL(vfork),
#endif
};

/* The call that a stopped process is about to make; NULL when this one changes nothing. */
static const char *changes(pid_t pid)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0)
		return NULL;
	if (info.seccomp.nr == SYS_openat && !(info.seccomp.args[2] & O_CREAT))
		return NULL;
	if (info.seccomp.nr == SYS_fcntl && info.seccomp.args[1] != F_SETLK)
		return NULL;
	return calls[info.seccomp.ret_data].name;
}

/* Stops only at the calls above: the others run at full speed. */
static void stop_at_calls(void)
{
	struct sock_filter code[2 * N_CALLS + 2] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog program = { .filter = code };
	struct sock_filter *at = code + 1;

	for (unsigned int i = 0; i < N_CALLS; i++) {
		*at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						     (unsigned int)calls[i].nr, 0, 1);
		*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | i);
	}
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = (unsigned short)(at - code);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		err(125, "seccomp");
}

static void run(char **argv)
{
	if (ptrace(PTRACE_TRACEME) < 0 || dup2(2, 1) < 0)
		err(125, "cannot be traced");
	raise(SIGSTOP);
	stop_at_calls();
	execvp(argv[0], argv);
	err(125, "%s", argv[0]);
}

int main(int argc, char **argv)
{
	const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEEXEC |
			     PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
	unsigned long n = argc > 2 ? strtoul(argv[1], NULL, 10) : 0, count = 0;
	int status, result = 0;
	const char *killed = NULL;
	pid_t command, pid;

	if (!n)
		errx(125, "usage: kill_at N CMD...");
	command = fork();
	if (command == 0)
		run(argv + 2);
	if (waitpid(command, NULL, 0) != command ||
	    ptrace(PTRACE_SETOPTIONS, command, 0, options) < 0 ||
	    ptrace(PTRACE_CONT, command, 0, 0) < 0)
		err(125, "cannot trace");
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		const char *call = NULL;

		if (!WIFSTOPPED(status)) {
			result = pid == command ? status : result;
			continue;
		}
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8) && !killed)
			call = changes(pid);
		if (call && ++count == n) {
			killed = call;
			kill(command, SIGKILL);
			kill(pid, SIGKILL);
		}
		/* A stop of ptrace's own is no signal; nor is a new child's first. */
		ptrace(PTRACE_CONT, pid, 0,
		       status >> 16 || WSTOPSIG(status) == SIGSTOP ? 0 : WSTOPSIG(status));
	}
	if (killed)
		return printf("killed %s\n", killed) < 0;
	return printf("ended %d %lu\n", WIFEXITED(result) ? WEXITSTATUS(result) : 125, count) < 0;
}
