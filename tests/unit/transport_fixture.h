/* transport_fixture.h - a folder of its own for each test, and a server with its keys and its authenticator.
 */
#ifndef MF_TRANSPORT_FIXTURE_H
#define MF_TRANSPORT_FIXTURE_H

#include "bus.h"
#include "keys.h"

enum { FIXTURE_PATH = 256 };

const char *fixture_dir(void);                                       /* of this test; made by fixture_begin */
const char *fixture_path(char path[FIXTURE_PATH], const char *rest); /* DIR/rest; returns path */
int fixture_begin(void **state);                                     /* cmocka set-up and tear-down */
int fixture_end(void **state);
void fixture_write(const char *rest, const char *text, unsigned mode);
void fixture_key(enum mf_role role, const char *name, struct mf_key *ret_key); /* made in DIR/keys */

struct fixture_server {
    void *context, *router, *links;
    struct mf_keyring *ring;
    struct mf_zap *zap;
    char endpoint[256];
};
void fixture_server_open(struct fixture_server *self); /* keys in DIR/keys, ROUTER on 127.0.0.1 */
void fixture_server_close(struct fixture_server *self);
bool fixture_wait(void *socket, int timeout_ms); /* readable */

#endif
