/* pulse_socket.h - the datagram socket that pulses come in by, and that nodes are probed from. */
#ifndef MF_PULSE_SOCKET_H
#define MF_PULSE_SOCKET_H

#include "ids.h"
#include <stdbool.h>
#include <stddef.h>

enum { MF_PULSE_SOCKET_BATCH = 64, MF_PULSE_SOCKET_BYTES = 4 << 20 };

struct mf_pulse_socket;

/* Bind HOST:PORT (IPv6 hosts in brackets, * for every address, port 0 for any). `address` (101 bytes) tells
 * where that is; for a wildcard the host is the local address that leads to `peer`, an endpoint like
 * tcp://HOST:PORT. */
int mf_pulse_socket_open(const char *bind_address, const char *peer, struct mf_pulse_socket **ret_socket,
                         char ret_address[101], char error[512]);
void mf_pulse_socket_close(struct mf_pulse_socket **self);
int mf_pulse_socket_fd(const struct mf_pulse_socket *self);

/* Up to MF_PULSE_SOCKET_BATCH datagrams that wait; returns how many. Never blocks. */
size_t mf_pulse_socket_read(struct mf_pulse_socket *self);
/* Datagram i of the last read. */
const void *mf_pulse_socket_bytes(const struct mf_pulse_socket *self, size_t i, size_t *ret_len);
/* A datagram to HOST:PORT, numeric. What cannot be sent is counted and forgotten: nothing waits for it. */
void mf_pulse_socket_send(struct mf_pulse_socket *self, const char *address, const void *bytes, size_t len);
uint64_t mf_pulse_socket_unsent(const struct mf_pulse_socket *self);
/* How many the kernel has dropped since the socket was opened, because nobody read in time. */
uint32_t mf_pulse_socket_dropped(const struct mf_pulse_socket *self);

#endif
