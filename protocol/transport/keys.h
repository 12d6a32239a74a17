/* keys.h - CURVE keys as czmq certificates, and the authenticator that binds a public key to its role and
 * name.
 *
 * A key directory holds: broker.cert and broker.cert_secret (zcert files, metadata role/name),
 * `clients/NAME.cert` for every key that may come in (public half only, metadata
 * role=operator|client|reader|worker|monitor, name=NAME), pulse.secret and user-data.secret (secret.h; the
 * latter seals user-data in the broker's store).
 * NAME.cert_secret (with both halves and broker's public key as metadata `broker`) is what the holder of a
 * key is given. Secrets are files of mode 0600; a wider mode is refused. */
#ifndef MF_KEYS_H
#define MF_KEYS_H

#include "message.h"

struct mf_key {                          /* one side's identity */
    char public_z85[41], secret_z85[41]; /* secret empty if unknown */
    char broker_z85[41];                 /* whom to expect at the other end; empty at the broker */
    enum mf_role role;
    char name[MF_NAME_MAX + 1];
};

#define MF_KEYS_USER_DATA_SECRET "user-data.secret"

/* mayfly key init: makes DIR with a broker key and both secrets; -EEXIST if there is one already. */
int mf_keys_init(const char *dir, char error[512]);
/* mayfly key create: makes clients/NAME.cert and writes the secret certificate to out (default
 * DIR/NAME.cert_secret). */
int mf_keys_create(const char *dir, enum mf_role role, const char *name, const char *out, char error[512]);
int mf_key_load(const char *path, struct mf_key *ret_key, char error[512]); /* a .cert_secret */
int mf_keys_pulse_secret(const char *dir, uint8_t ret_secret[32], char error[512]);
/* Public part of a key directory in memory, for the authenticator; reloaded when the directory changes. */
struct mf_keyring;
int mf_keyring_open(const char *dir, struct mf_keyring **ret_ring, char error[512]);
void mf_keyring_close(struct mf_keyring **self);
/* Looks again at the directory if it changed since; true if the key may come in. Safe from one thread. */
bool mf_keyring_find(struct mf_keyring *self, const char public_z85[41], enum mf_role *ret_role,
                     char ret_name[MF_NAME_MAX + 1]);

/* The ZAP handler (RFC 27) of a context: a thread that answers at inproc://zeromq.zap.01 from the ring, sets
 * User-Id to "role:name", and refuses every mechanism but CURVE. Start it before the first bind. */
struct mf_zap;
int mf_zap_start(void *zmq_context, struct mf_keyring *ring, struct mf_zap **ret_zap, char error[512]);
void mf_zap_stop(struct mf_zap **self);

#endif
