/* faulty_vfs.c - a shim over the default VFS. Every file is opened through it; writes, truncates, syncs and
 * deletes are counted, and in power mode a write first notes what it overwrites, until its file's next sync.
 */
#include "faulty_vfs.h"
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct undo {
    struct undo *older;
    sqlite3_int64 offset, size_before; /* size of the file before the write */
    int len;
    char bytes[];
};

struct faulty_file {
    sqlite3_file base;
    struct faulty_file *next;
    struct undo *newest;
    sqlite3_file *real; /* behind this struct */
};

static struct {
    enum faulty_mode mode;
    long die_at, count;
    unsigned seed;
    sqlite3_vfs vfs, *real;
    struct faulty_file *files;
} world;

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct faulty_file *)file)->real;
}

/* -- dying */

static void forget(struct faulty_file *file)
{
    while (file->newest) {
        struct undo *undo = file->newest;

        file->newest = undo->older;
        free(undo);
    }
}

static void undo_one(struct faulty_file *file)
{
    struct undo *undo = file->newest;

    file->newest = undo->older;
    if (undo->len)
        file->real->pMethods->xWrite(file->real, undo->bytes, undo->len, undo->offset);
    file->real->pMethods->xTruncate(file->real, undo->size_before);
}

static void lose_power(void)
{
    for (struct faulty_file *file = world.files; file; file = file->next) {
        unsigned n = 0, back;

        for (struct undo *undo = file->newest; undo; undo = undo->older)
            n++;
        world.seed = world.seed * 1103515245u + 12345u;
        back = n ? (world.seed >> 16) % (n + 1) : 0;
        if (world.seed & 1u << 20)
            back = n; /* half the time nothing unsynced survives */
        while (back--)
            undo_one(file);
    }
}

static void die(void)
{
    if (world.mode == FAULTY_POWER)
        lose_power();
    _exit(FAULTY_EXIT);
}

static int due(void)
{
    return ++world.count == world.die_at;
}

static void die_before(int is_due)
{
    if (is_due && world.mode != FAULTY_AFTER)
        die();
}

static void die_after(int is_due)
{
    if (is_due)
        die();
}

/* -- methods */

static int faulty_close(sqlite3_file *file)
{
    struct faulty_file *self = (struct faulty_file *)file, **place = &world.files;

    while (*place && *place != self)
        place = &(*place)->next;
    if (*place)
        *place = self->next;
    forget(self);
    return self->real->pMethods ? self->real->pMethods->xClose(self->real) : SQLITE_OK;
}

static int faulty_read(sqlite3_file *file, void *bytes, int len, sqlite3_int64 offset)
{
    return real_of(file)->pMethods->xRead(real_of(file), bytes, len, offset);
}

static void note(struct faulty_file *self, int len, sqlite3_int64 offset)
{
    struct undo *undo;
    sqlite3_int64 size = 0;

    if (world.mode != FAULTY_POWER)
        return;
    self->real->pMethods->xFileSize(self->real, &size);
    if (offset + len > size)
        len = offset < size ? (int)(size - offset) : 0;
    undo = malloc(sizeof(*undo) + (size_t)len);
    undo->older = self->newest;
    undo->offset = offset;
    undo->size_before = size;
    undo->len = len;
    if (len)
        self->real->pMethods->xRead(self->real, undo->bytes, len, offset);
    self->newest = undo;
}

static int faulty_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 offset)
{
    int is_due = due(), r;

    if (is_due && world.mode == FAULTY_HALF)
        real_of(file)->pMethods->xWrite(real_of(file), bytes, len / 2, offset);
    die_before(is_due);
    note((struct faulty_file *)file, len, offset);
    r = real_of(file)->pMethods->xWrite(real_of(file), bytes, len, offset);
    die_after(is_due);
    return r;
}

static int faulty_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int is_due = due(), r;
    sqlite3_int64 old = 0;

    die_before(is_due);
    real_of(file)->pMethods->xFileSize(real_of(file), &old);
    if (size < old)
        note((struct faulty_file *)file, (int)(old - size), size);
    r = real_of(file)->pMethods->xTruncate(real_of(file), size);
    die_after(is_due);
    return r;
}

static int faulty_sync(sqlite3_file *file, int flags)
{
    int is_due = due(), r;

    die_before(is_due);
    r = real_of(file)->pMethods->xSync(real_of(file), flags);
    forget((struct faulty_file *)file);
    die_after(is_due);
    return r;
}

static int faulty_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), ret_size);
}
static int faulty_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}
static int faulty_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}
static int faulty_check_lock(sqlite3_file *file, int *ret_locked)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret_locked);
}
static int faulty_control(sqlite3_file *file, int operation, void *arg)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, arg);
}
static int faulty_sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}
static int faulty_characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}
static int faulty_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret_map)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, ret_map);
}
static int faulty_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}
static void faulty_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}
static int faulty_shm_unmap(sqlite3_file *file, int remove)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* no memory mapping of the database: every access is seen */
    .xClose = faulty_close,
    .xRead = faulty_read,
    .xWrite = faulty_write,
    .xTruncate = faulty_truncate,
    .xSync = faulty_sync,
    .xFileSize = faulty_size,
    .xLock = faulty_lock,
    .xUnlock = faulty_unlock,
    .xCheckReservedLock = faulty_check_lock,
    .xFileControl = faulty_control,
    .xSectorSize = faulty_sector_size,
    .xDeviceCharacteristics = faulty_characteristics,
    .xShmMap = faulty_shm_map,
    .xShmLock = faulty_shm_lock,
    .xShmBarrier = faulty_shm_barrier,
    .xShmUnmap = faulty_shm_unmap,
};

static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct faulty_file *self = (struct faulty_file *)file;
    int r;

    memset(self, 0, sizeof(*self));
    self->real = (sqlite3_file *)(self + 1);
    r = world.real->xOpen(world.real, name, self->real, flags, ret_flags);
    if (!self->real->pMethods)
        return r;
    self->base.pMethods = &methods;
    self->next = world.files;
    world.files = self;
    return r;
}

static int faulty_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    int is_due = due(), r;

    die_before(is_due);
    r = world.real->xDelete(world.real, name, sync_dir);
    die_after(is_due);
    return r;
}

void faulty_vfs_install(enum faulty_mode mode, long die_at, unsigned seed)
{
    world.mode = mode;
    world.die_at = die_at;
    world.seed = seed;
    world.real = sqlite3_vfs_find(NULL);
    world.vfs = *world.real;
    world.vfs.zName = "faulty";
    world.vfs.pNext = NULL;
    world.vfs.szOsFile = (int)sizeof(struct faulty_file) + world.real->szOsFile;
    world.vfs.xOpen = faulty_open;
    world.vfs.xDelete = faulty_delete;
    sqlite3_vfs_register(&world.vfs, 1);
}

long faulty_vfs_operations(void)
{
    return world.count;
}
