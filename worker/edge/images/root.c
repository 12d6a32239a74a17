/* root.c - files are opened beneath their root, digested once, remembered until they change. */
#include "root.h"
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MF_IMAGE_ROOT_MAGIC = 0x696d6773, CHUNK = 1 << 18, REMEMBERED = 64 };

struct digested { /* one file's digest, good while its identity is the same */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
    struct mf_digest sha256;
    uint64_t used; /* for the eviction of the least recently used */
};

struct mf_image_root {
    unsigned magic;
    int root_fd;
    char root[3072];
    pthread_mutex_t lock; /* held while a file is read: births that wait for the same file need it anyway */
    struct digested known[REMEMBERED];
    uint64_t uses;
};

int mf_image_root_open(const char *root, struct mf_image_root **ret_root, char error[512])
{
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        int e = errno;
        snprintf(error, 512, "image root %s: %s; make the directory or set image-root", root, strerror(e));
        return -e;
    }
    struct mf_image_root *self = calloc(1, sizeof *self);
    MF_CHECK(self);
    self->magic = MF_IMAGE_ROOT_MAGIC;
    self->root_fd = fd;
    snprintf(self->root, sizeof self->root, "%s", root);
    pthread_mutex_init(&self->lock, NULL);
    *ret_root = self;
    return 0;
}

void mf_image_root_close(struct mf_image_root **self)
{
    if (!*self)
        return;
    MF_MAGIC(*self, MF_IMAGE_ROOT_MAGIC);
    close((*self)->root_fd);
    pthread_mutex_destroy(&(*self)->lock);
    free(*self);
    *self = NULL;
}

static int open_beneath(int root_fd, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof how);
}

static int digest_fd(int fd, struct mf_digest *ret_sha256)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    char *chunk = malloc(CHUNK);
    MF_CHECK(context && chunk);
    MF_CHECK(EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1);
    ssize_t n;
    off_t at = 0;
    while ((n = pread(fd, chunk, CHUNK, at)) > 0) {
        MF_CHECK(EVP_DigestUpdate(context, chunk, (size_t)n) == 1);
        at += n;
    }
    int result = n < 0 ? -errno : 0;
    MF_CHECK(EVP_DigestFinal_ex(context, ret_sha256->bytes, NULL) == 1);
    EVP_MD_CTX_free(context);
    free(chunk);
    return result;
}

static bool same_file(const struct digested *known, const struct stat *st)
{
    return known->used && known->device == st->st_dev && known->inode == st->st_ino &&
           known->size == st->st_size && known->changed.tv_sec == st->st_ctim.tv_sec &&
           known->changed.tv_nsec == st->st_ctim.tv_nsec;
}

/* Under the lock. The identity is taken before reading: a file that changes meanwhile is read again next
 * time. */
static int digest_of(struct mf_image_root *self, int fd, const struct stat *st, struct mf_digest *ret_sha256)
{
    struct digested *slot = &self->known[0];
    for (size_t i = 0; i < REMEMBERED; i++) {
        if (same_file(&self->known[i], st)) {
            self->known[i].used = ++self->uses;
            *ret_sha256 = self->known[i].sha256;
            return 0;
        }
        if (self->known[i].used < slot->used)
            slot = &self->known[i];
    }
    int result = digest_fd(fd, ret_sha256);
    if (result == 0)
        *slot =
            (struct digested){st->st_dev, st->st_ino, st->st_size, st->st_ctim, *ret_sha256, ++self->uses};
    return result;
}

static int check_open_file(struct mf_image_root *self, int fd, const char *what, const char *path,
                           struct mf_digest wanted, char error[400])
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        mf_str_format(error, 400, "%s %s below %s is not a regular file", what, path, self->root);
        return -EINVAL;
    }
    if (st.st_size == 0) {
        mf_str_format(error, 400, "%s %s below %s is empty; copy it again", what, path, self->root);
        return -EINVAL;
    }
    struct mf_digest is;
    int result = digest_of(self, fd, &st, &is);
    if (result < 0) {
        mf_str_format(error, 400, "%s %s below %s: %s", what, path, self->root, strerror(-result));
        return -EINVAL;
    }
    if (!mf_digest_eq(is, wanted)) {
        char is_text[MF_DIGEST_TEXT], wanted_text[MF_DIGEST_TEXT];
        mf_str_format(error, 400,
                      "%s %s below %s: digest is %.16s..., should be %.16s...; the file was changed or cut "
                      "short, copy it again",
                      what, path, self->root, mf_digest_text(is, is_text),
                      mf_digest_text(wanted, wanted_text));
        return -EINVAL;
    }
    return 0;
}

int mf_image_root_find(struct mf_image_root *self, const struct mf_image_file *file, char ret_path[4096],
                       char error[400])
{
    MF_MAGIC(self, MF_IMAGE_ROOT_MAGIC);
    char relative[1024];
    const char *what = mf_image_part_word(file->part);
    mf_str_format(relative, sizeof relative, "%.*s", (int)file->place.len, file->place.ptr);
    int fd =
        strlen(relative) == file->place.len ? open_beneath(self->root_fd, relative) : (errno = EINVAL, -1);
    if (fd < 0) {
        mf_str_format(error, 400, "%s %s below %s: %s", what, relative, self->root,
                      errno == EXDEV ? "leads out of the image root" : strerror(errno));
        return -EINVAL;
    }
    pthread_mutex_lock(&self->lock);
    int result = check_open_file(self, fd, what, relative, file->sha256, error);
    pthread_mutex_unlock(&self->lock);
    if (result < 0) {
        close(fd);
        return result;
    }
    snprintf(ret_path, 4096, "%s/%s", self->root, relative);
    return fd;
}
