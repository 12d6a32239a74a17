/* broker_process.c - start, wait for readiness, kill; connect, send, receive with a limit. Every wait is for
 * something that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "broker_process.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

enum { WAIT_MS = 20000, ARGS = 32 };

static void make_key(struct broker_process *self, enum mf_role role, const char *name)
{
    char error[512];

    if (mf_keys_create(self->keys, role, name, NULL, error) < 0)
        fail_msg("%s", error);
}

void broker_make(struct broker_process *self, const char *program)
{
    char error[512];

    *self = (struct broker_process){.program = program};
    snprintf(self->dir, sizeof(self->dir), "/tmp/mf-edge-XXXXXX");
    assert_non_null(mkdtemp(self->dir));
    snprintf(self->keys, sizeof(self->keys), "%s/keys", self->dir);
    snprintf(self->state, sizeof(self->state), "%s/state", self->dir);
    if (mf_keys_init(self->keys, error) < 0)
        fail_msg("%s", error);
    make_key(self, MF_ROLE_OPERATOR, "op");
    make_key(self, MF_ROLE_CLIENT, "alice");
    make_key(self, MF_ROLE_READER, "bob");
    make_key(self, MF_ROLE_WORKER, "node-1");
    make_key(self, MF_ROLE_WORKER, "node-2");
    make_key(self, MF_ROLE_MONITOR, "mon-1");
    self->context = zmq_ctx_new();
}

static void exec_broker(struct broker_process *self, const char *state, const char *const extra[])
{
    const char *args[ARGS] = {self->program,
                              "--state",
                              state,
                              "--keys",
                              self->keys,
                              "--client",
                              "tcp://127.0.0.1:*",
                              "--worker",
                              "tcp://127.0.0.1:*",
                              "--tail",
                              "tcp://127.0.0.1:*",
                              "--http",
                              "none"};
    size_t n = 13;

    while (extra && *extra && n < ARGS - 1)
        args[n++] = *extra++;
    args[n] = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execv(self->program, (char *const *)args);
    _exit(126);
}

static void read_ready(struct broker_process *self, int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    char line[512] = "";
    size_t len = 0;
    ssize_t n = 1;

    while (n > 0 && !strchr(line, '\n')) {
        assert_int_equal(poll(&item, 1, WAIT_MS), 1);
        n = read(fd, line + len, sizeof(line) - 1 - len);
        if (n > 0)
            line[len += (size_t)n] = '\0';
    }
    if (sscanf(line, "ready client=%127s worker=%127s tail=%127s", self->client, self->worker, self->tail) !=
        3)
        fail_msg("the broker did not become ready: %s", line);
}

void broker_start(struct broker_process *self, const char *const extra[])
{
    int pipes[2];

    assert_int_equal(pipe(pipes), 0);
    self->pid = fork();
    assert_true(self->pid >= 0);
    if (self->pid == 0) {
        char fd[16];

        close(pipes[0]);
        snprintf(fd, sizeof(fd), "%d", pipes[1]);
        setenv("MAYFLY_READY_FD", fd, 1);
        exec_broker(self, self->state, extra);
    }
    close(pipes[1]);
    read_ready(self, pipes[0]);
    close(pipes[0]);
}

int broker_try(struct broker_process *self, const char *state, const char *const extra[], char *ret_stderr,
               size_t size)
{
    int pipes[2], status;
    size_t len = 0;
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    if (pid == 0) {
        close(pipes[0]);
        dup2(pipes[1], STDERR_FILENO);
        exec_broker(self, state, extra);
    }
    close(pipes[1]);
    while (len < size - 1 && (n = read(pipes[0], ret_stderr + len, size - 1 - len)) > 0)
        len += (size_t)n;
    ret_stderr[len] = '\0';
    close(pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int broker_stop(struct broker_process *self, int signal)
{
    int status = 0;

    if (!self->pid)
        return 0;
    kill(self->pid, signal);
    assert_int_equal(waitpid(self->pid, &status, 0), self->pid);
    self->pid = 0;
    return status;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

void broker_remove(struct broker_process *self)
{
    broker_stop(self, SIGKILL);
    zmq_ctx_term(self->context);
    nftw(self->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* -- peers */

void raw_connect(struct raw_peer *self, struct broker_process *broker, const char *key_name,
                 const char *endpoint)
{
    char path[160], error[512];
    struct mf_key key;
    int type = endpoint == broker->tail ? ZMQ_SUB : ZMQ_DEALER;

    *self = (struct raw_peer){.broker = broker};
    snprintf(path, sizeof(path), "%s/%s.cert_secret", broker->keys, key_name);
    if (mf_key_load(path, &key, error) < 0 ||
        mf_bus_connect(broker->context, type, endpoint, &key, NULL, &self->socket, NULL, error) < 0)
        fail_msg("%s", error);
}

void raw_close(struct raw_peer *self)
{
    if (!self->socket)
        return;
    mf_bus_in_free(&self->in);
    mf_arena_free(&self->arena);
    zmq_close(self->socket);
    self->socket = NULL;
}

void raw_send(struct raw_peer *self, const struct mf_message *message)
{
    assert_int_equal(mf_bus_send(self->socket, (struct mf_str){0}, false, message), 0);
}

void raw_send_frames(struct raw_peer *self, const struct mf_str *frames, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(zmq_send(self->socket, frames[i].ptr, frames[i].len, i + 1 < n ? ZMQ_SNDMORE : 0),
                         frames[i].len);
}

const struct mf_message *raw_recv(struct raw_peer *self)
{
    zmq_pollitem_t item = {.socket = self->socket, .events = ZMQ_POLLIN};
    struct mf_decode_error error;

    if (zmq_poll(&item, 1, WAIT_MS) != 1)
        fail_msg("nothing came");
    assert_int_equal(mf_bus_recv(self->socket, &self->in), 1);
    mf_arena_reset(&self->arena);
    if (mf_message_decode(self->in.head, self->in.body, &self->arena, &self->message, &error) < 0)
        fail_msg("%s", error.text);
    return &self->message;
}

const struct mf_message *raw_await(struct raw_peer *self, enum mf_kind kind)
{
    const struct mf_message *message;

    do {
        message = raw_recv(self);
        if (message->kind == MF_MSG_ERROR && kind != MF_MSG_ERROR)
            fail_msg("error %.*s: %.*s", (int)message->error.code.len, message->error.code.ptr,
                     (int)message->error.text.len, message->error.text.ptr);
    } while (message->kind != kind);
    return message;
}
