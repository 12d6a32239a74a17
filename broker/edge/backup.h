/* backup.h - the store, copied while it works and handed out piece by piece. The message is answered here,
 * not by the core: offset 0 makes a copy in the state directory (by the chores thread), later offsets read
 * from it. The copy has no name once it is made, so it goes with its last piece, with its reader's
 * connection, or with this process. */
#ifndef MF_BACKUP_H
#define MF_BACKUP_H

#include "chores.h"
#include "peers.h"

enum { MF_BACKUP_PIECE = 524288 };

struct mf_backups;

struct mf_backups *mf_backups_new(const struct mf_store_engine *engine, struct mf_store *store,
                                  const char *state_dir, struct mf_chores *chores, struct mf_peers *peers);
void mf_backups_destroy(struct mf_backups **self); /* after mf_chores_stop */
/* Answers by backup-reply or error, now or when the copy is made. 0, or the error of the send: see
 * mf_peers_send. */
int mf_backups_ask(struct mf_backups *self, uint64_t peer, const struct mf_msg_backup *ask);
/* The store holds a row (again and again said is fine): until then a copy would be of nothing, and waits. */
void mf_backups_durable(struct mf_backups *self);
void mf_backups_forget(struct mf_backups *self, uint64_t peer);

#endif
