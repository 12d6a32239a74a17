/* faulty_vfs.h - SQLite's file system with an end: the process dies at the n-th operation that changes a
 * file. */
#ifndef FAULTY_VFS_H
#define FAULTY_VFS_H

enum faulty_mode {
    FAULTY_BEFORE, /* killed: the operation was not begun; what was done before is in the files */
    FAULTY_HALF,   /* killed: a write got half way; other operations as BEFORE */
    FAULTY_AFTER,  /* killed: the operation was done, its caller never heard of it */
    FAULTY_POWER,  /* power lost: writes since each file's last sync are undone, from the newest back to a
                      point taken from `seed` */
};

/* From now on the default file system of this process. die_at counts from 1; 0 never. */
void faulty_vfs_install(enum faulty_mode mode, long die_at, unsigned seed);
long faulty_vfs_operations(void); /* so many were counted */

enum { FAULTY_EXIT = 77 };

#endif
