/* transport_fixture.c - see its header. */
#include "transport_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

static char dir[FIXTURE_PATH - 100];

const char *fixture_dir(void)
{
    return dir;
}

const char *fixture_path(char path[FIXTURE_PATH], const char *rest)
{
    mf_str_format(path, FIXTURE_PATH, "%s/%s", dir, rest);
    return path;
}

int fixture_begin(void **state)
{
    const char *tmp = getenv("TMPDIR");
    mf_str_format(dir, sizeof(dir), "%s/mayfly-test-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

int fixture_end(void **state)
{
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void fixture_write(const char *rest, const char *text, unsigned mode)
{
    char path[FIXTURE_PATH];
    int fd = open(fixture_path(path, rest), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

void fixture_key(enum mf_role role, const char *name, struct mf_key *ret_key)
{
    char keys[FIXTURE_PATH], file[128], path[FIXTURE_PATH], error[512] = "";
    fixture_path(keys, "keys");
    mf_str_format(file, sizeof(file), "keys/%s.cert_secret", name);
    assert_int_equal(mf_keys_create(keys, role, name, NULL, error), 0);
    assert_int_equal(mf_key_load(fixture_path(path, file), ret_key, error), 0);
}

void fixture_server_open(struct fixture_server *self)
{
    char keys[FIXTURE_PATH], path[FIXTURE_PATH], error[512] = "";
    struct mf_key key;
    memset(self, 0, sizeof(*self));
    assert_int_equal(mf_keys_init(fixture_path(keys, "keys"), error), 0);
    assert_int_equal(mf_key_load(fixture_path(path, "keys/broker.cert_secret"), &key, error), 0);
    self->context = zmq_ctx_new();
    assert_int_equal(mf_keyring_open(keys, &self->ring, error), 0);
    assert_int_equal(
        mf_bus_bind(self->context, ZMQ_ROUTER, "tcp://127.0.0.1:*", &key, &self->router, NULL, error),
        -ENOTCONN);
    assert_int_equal(mf_zap_start(self->context, self->ring, &self->zap, error), 0);
    assert_int_equal(mf_bus_bind(self->context, ZMQ_ROUTER, "tcp://127.0.0.1:*", &key, &self->router,
                                 self->endpoint, error),
                     0);
    assert_int_equal(mf_bus_monitor(self->context, self->router, "server-links", &self->links, error), 0);
}

void fixture_server_close(struct fixture_server *self)
{
    mf_bus_close(&self->router, &self->links);
    mf_zap_stop(&self->zap);
    zmq_ctx_term(self->context);
    mf_keyring_close(&self->ring);
}

bool fixture_wait(void *socket, int timeout_ms)
{
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    return zmq_poll(&item, 1, timeout_ms) == 1;
}
