/* sockets.h - what the files of this folder share: the authenticator's address, and threads that take no
 * signals. */
#ifndef MF_SOCKETS_H
#define MF_SOCKETS_H

#include <pthread.h>

#define MF_ZAP_ENDPOINT "inproc://zeromq.zap.01"
#define MF_ZAP_DOMAIN   "mayfly"

/* A thread with every signal blocked: signals are the loop's, through its signalfd. Returns 0 or a positive
 * errno. */
int mf_thread_start(pthread_t *ret_thread, void *(*run)(void *arg), void *arg);

#endif
