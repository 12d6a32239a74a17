/* main_null_server.h - the stand-in's sockets: serves ROOT/null.sock until a signal ends it. */
#ifndef MF_NULL_SERVER_H
#define MF_NULL_SERVER_H

/* Takes the root for itself. 0 and a listening descriptor; -EEXIST if another stand-in serves it already; or
 * an error, said. */
int mf_null_server_open(const char *root, int *ret_listener, char error[512]);
/* Serve until SIGTERM or SIGINT; then 0, the socket removed. */
int mf_null_server_run(const char *root, int listener);

#endif
