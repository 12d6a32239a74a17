/* main_null_process.c - see main_null_process.h. */
#include "main_null_process.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child stops itself, so that whoever looks from here on sees the guest's own command line: when vfork
 * returns, that is not there yet. */
int mf_null_process_start(struct mf_uuid id, pid_t *ret_pid)
{
    char text[MF_UUID_TEXT];
    mf_uuid_text(id, text);
    pid_t pid = vfork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl("/proc/self/exe", "mayfly-null", "--guest", "-uuid", text, NULL);
        _exit(127);
    }
    if (pid < 0)
        return -errno;
    int status;
    while (waitpid(pid, &status, WUNTRACED) < 0)
        if (errno != EINTR)
            return -errno;
    if (!WIFSTOPPED(status))
        return -ECHILD;
    *ret_pid = pid;
    return 0;
}

void mf_null_process_resume(pid_t pid)
{
    kill(pid, SIGCONT);
}

void mf_null_process_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

pid_t mf_null_process_ended(void)
{
    pid_t pid = waitpid(-1, NULL, WNOHANG);
    return pid > 0 ? pid : 0;
}

void mf_null_process_be(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    raise(SIGSTOP);
    for (;;)
        pause();
}
