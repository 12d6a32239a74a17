/* null_connect.h - the stand-in's socket, by the root it serves. */
#ifndef MF_NULL_CONNECT_H
#define MF_NULL_CONNECT_H

#include <sys/un.h>

/* The address, valid while the folder's descriptor is open; the caller closes it. */
int mf_null_address(const char *root, int *ret_folder, struct sockaddr_un *ret_address);
/* A connection, or negative errno (-ENOENT, -ECONNREFUSED: nobody serves this root). */
int mf_null_connect(const char *root);

#endif
