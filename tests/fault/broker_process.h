/* broker_process.h - a real mayfly-broker in a directory of its own, and raw peers of it: one DEALER each,
 * the message table, no library. */
#ifndef BROKER_PROCESS_H
#define BROKER_PROCESS_H

#include "bus.h"
#include <sys/types.h>

struct broker_process {
    const char *program;
    char dir[64], keys[80], state[80];
    pid_t pid;
    char client[128], worker[128], tail[128];
    void *context;
};

void broker_make(
    struct broker_process *self,
    const char *program); /* directory and keys: op, alice, bob (reader), node-1, node-2, mon-1 */
void broker_start(
    struct broker_process *self,
    const char *const extra[]); /* returns when it is ready; extra flags, NULL-terminated or NULL */
int broker_try(struct broker_process *self, const char *state, const char *const extra[], char *ret_stderr,
               size_t size);                              /* one that is to fail: its exit code */
int broker_stop(struct broker_process *self, int signal); /* its wait status */
void broker_remove(struct broker_process *self);

struct raw_peer {
    struct broker_process *broker;
    void *socket;
    struct mf_bus_in in;
    struct mf_arena arena;
    struct mf_message message; /* the last one received; valid until the next */
};
void raw_connect(struct raw_peer *self, struct broker_process *broker, const char *key_name,
                 const char *endpoint);
void raw_close(struct raw_peer *self);
void raw_send(struct raw_peer *self, const struct mf_message *message);
void raw_send_frames(struct raw_peer *self, const struct mf_str *frames, size_t n);
/* The next message, which must come within 20 s. */
const struct mf_message *raw_recv(struct raw_peer *self);
/* The next message of this kind; others before it are skipped. */
const struct mf_message *raw_await(struct raw_peer *self, enum mf_kind kind);

#endif
