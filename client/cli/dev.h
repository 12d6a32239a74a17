/* dev.h - `mayfly dev`: a cluster of real processes on one machine, all below one directory.
 *
 *   DIR/dev.conf        KEY=VALUE: what the cluster is (endpoints, nodes, driver, image root)
 *   DIR/keys            the key directory and every secret certificate
 *   DIR/run/NAME.pid    written and locked by the process itself; NAME.cmd: its command line, one argument a
 * line, to start it again; NAME.http: HOST:PORT of its pages DIR/log/NAME.log    what it says DIR/broker the
 * broker's store; DIR/nodes/NAME: a worker's; DIR/images: the null driver's
 *
 * Names: broker, health-0, node-0... Processes are found by what /proc says of their program and command
 * line, and signalled through a pidfd that was opened before that was looked at: a pid that was given to
 * somebody else meanwhile is never hit. */
#ifndef MF_CLI_DEV_H
#define MF_CLI_DEV_H

#include "cli.h"
#include <sys/types.h>

enum {
    MF_DEV_PATH = 2048,
    MF_DEV_NODES_MAX = 1000,
    MF_DEV_MONITORS_MAX = 7,
    MF_DEV_DIR_MAX = 1024,
    MF_DEV_ENDPOINT = 64,
    MF_DEV_ADDRESS = 32
};

struct mf_dev {               /* DIR/dev.conf */
    char dir[MF_DEV_DIR_MAX]; /* absolute */
    char client[MF_DEV_ENDPOINT], worker[MF_DEV_ENDPOINT], tail[MF_DEV_ENDPOINT];
    char driver[16];
    char image_root[MF_DEV_DIR_MAX];
    uint64_t nodes, monitors;
    unsigned subnet; /* each in a network namespace of its own, dev_net.c; 0: all on the loopback */
};

/* dev.c: the directory */
int mf_dev_locate(struct mf_cli *cli, bool make,
                  struct mf_dev *ret_dev); /* --state or MAYFLY_DEV_STATE. 0 or exit code, said */
int mf_dev_load(struct mf_cli *cli, struct mf_dev *ret_dev); /* locate, and read what `up` wrote */
int mf_dev_save(struct mf_cli *cli, const struct mf_dev *dev);
int mf_dev_lock(struct mf_cli *cli,
                const struct mf_dev *dev); /* one up, start or down at a time; released at exit */
__attribute__((format(printf, 3, 4))) const char *
mf_dev_path(const struct mf_dev *dev, char path[MF_DEV_PATH], const char *format, ...);
/* The i-th of all names: broker, health-0, node-0...; false past the last. */
bool mf_dev_name(const struct mf_dev *dev, uint64_t i, char ret_name[64]);
uint64_t mf_dev_first_node(const struct mf_dev *dev); /* the i of node-0 */
int mf_dev_no_such(struct mf_cli *cli, const struct mf_dev *dev,
                   const char *name); /* said, with what there is */
bool mf_dev_is_name(const struct mf_dev *dev, const char *name);
int mf_dev_make_dir(struct mf_cli *cli, const char *path, mode_t mode);

/* dev_find.c: processes of a name */
enum mf_dev_role {
    MF_DEV_SERVICE,
    MF_DEV_KEEPER,
    MF_DEV_AGENT,
    MF_DEV_GUEST
}; /* in the order in which they are stopped */
struct mf_dev_process {
    pid_t pid;
    int pidfd;
    enum mf_dev_role role;
    bool stopped; /* frozen */
};
struct mf_dev_processes {
    struct mf_dev_process *items;
    size_t n;
};
/* All living processes of a name, by role. Free with mf_dev_processes_free. */
void mf_dev_find(const struct mf_dev *dev, const char *name, struct mf_dev_processes *ret_processes);
void mf_dev_processes_free(struct mf_dev_processes *self);
/* SIGKILL all of a name, or only its agent, and wait until they are gone; again until none is found. Returns
 * how many were ended. */
size_t mf_dev_kill(const struct mf_dev *dev, const char *name, bool agent_only);
/* SIGTERM, and SIGKILL for who is still there after limit_ms. */
size_t mf_dev_end(const struct mf_dev *dev, const char *name, int limit_ms);
size_t mf_dev_freeze(const struct mf_dev *dev, const char *name, bool thaw);
/* Does a command line (NUL-separated) name this path, and not merely one that begins like it? */
bool mf_dev_mentions(const char *cmdline, size_t len, const char *path);

/* dev_start.c: starting */
struct mf_dev_start {
    char name[64];
    pid_t pid;
    int ready_fd;
    bool ready;
};
int mf_dev_write_command(struct mf_cli *cli, const struct mf_dev *dev, const char *name,
                         const char *const *args);
/* Start what NAME.cmd says, in a session of its own. 0 or exit code, said. */
int mf_dev_spawn(struct mf_cli *cli, const struct mf_dev *dev, const char *name,
                 struct mf_dev_start *ret_start);
/* Until all said that they are ready. One that ends first, or the limit: the end of its log is shown. */
int mf_dev_await(struct mf_cli *cli, const struct mf_dev *dev, struct mf_dev_start *starts, size_t n,
                 int64_t until_ms);
int mf_dev_run_tool(struct mf_cli *cli, const struct mf_dev *dev, const char *log_name,
                    char *const args[]); /* wait for it */
void mf_dev_show_log(const struct mf_dev *dev, const char *name);
bool mf_dev_program(const char *name,
                    char path[MF_DEV_PATH]); /* beside this one, or in MAYFLY_BIN; false if it is not there */
void mf_dev_catch_signals(void);             /* an interrupted `up` cleans up */
bool mf_dev_interrupted(void);
int64_t mf_dev_now_ms(void);

/* dev_wait.c: asking the broker */
int mf_dev_connect(struct mf_cli *cli, const struct mf_dev *dev); /* as admin */
/* Until nodes first..last are ready under an epoch above the given one (0: any). */
int mf_dev_await_nodes(struct mf_cli *cli, uint64_t first, uint64_t n, uint64_t above_epoch,
                       int64_t until_ms);
/* Until every monitor hears all nodes. */
int mf_dev_await_heard(struct mf_cli *cli, const struct mf_dev *dev, int64_t until_ms);
bool mf_dev_epoch(struct mf_cli *cli, const char *node, uint64_t *ret_epoch);

/* dev_settings.c: --set into DIR/broker.yaml; and whether the broker takes them (its command, to check only)
 */
int mf_dev_write_settings(struct mf_cli *cli, const struct mf_dev *dev);
int mf_dev_check_settings(struct mf_cli *cli, const struct mf_dev *dev, char *const broker_command[]);

/* dev_net.c: namespaces */
int mf_dev_net_up(struct mf_cli *cli, struct mf_dev *dev);
void mf_dev_net_down(struct mf_cli *cli, const struct mf_dev *dev);
/* The namespace of a name, to be entered; -1 where there is none. 0 or exit code, said. */
int mf_dev_net_open(struct mf_cli *cli, const struct mf_dev *dev, const char *name, int *ret_fd);
const char *mf_dev_net_address(const struct mf_dev *dev, const char *name, char ret_address[MF_DEV_ADDRESS]);

/* dev_image.c */
int mf_dev_prepare_images(struct mf_cli *cli,
                          struct mf_dev *dev); /* image_root, with tiny/vmlinuz and tiny/initrd in it */
int mf_dev_add_standards(struct mf_cli *cli, const struct mf_dev *dev); /* offering small, image tiny */

/* dev_up.c */
int mf_dev_up(struct mf_cli *cli);
int mf_dev_start_one(struct mf_cli *cli);
size_t mf_dev_down_all(struct mf_cli *cli, const struct mf_dev *dev, bool tell);

#endif
