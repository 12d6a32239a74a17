/* iso.c - see iso.h. libarchive gathers what the files hold in a temporary file without a name before it
 * writes the volume. The volume ends with its last file: readers that want more behind it pad it. */
#include "iso.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>

static la_ssize_t take(struct archive *archive, void *arg, const void *bytes, size_t len)
{
    mf_buf_append(arg, bytes, len);
    return (la_ssize_t)len;
}

static int begin(struct archive *archive, const char *label, struct mf_buf *buf)
{
    int r = archive_write_set_format_iso9660(archive);
    if (r == ARCHIVE_OK)
        r = archive_write_set_format_option(archive, "iso9660", "volume-id", label);
    if (r == ARCHIVE_OK)
        r = archive_write_set_format_option(archive, "iso9660", "pad", NULL);
    if (r == ARCHIVE_OK)
        r = archive_write_set_bytes_in_last_block(archive, 1);
    return r == ARCHIVE_OK ? archive_write_open(archive, buf, NULL, take, NULL) : r;
}

static int add(struct archive *archive, const struct mf_iso_file *file)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, file->name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0400);
    archive_entry_set_size(entry, file->bytes.len);
    int r = archive_write_header(archive, entry);
    archive_entry_free(entry);
    if (r != ARCHIVE_OK || file->bytes.len == 0)
        return r;
    la_ssize_t n = archive_write_data(archive, file->bytes.ptr, file->bytes.len);
    return n == (la_ssize_t)file->bytes.len ? ARCHIVE_OK : ARCHIVE_FATAL;
}

int mf_iso_make(const char *label, const struct mf_iso_file *files, size_t n, struct mf_buf *buf,
                char error[512])
{
    struct archive *archive = archive_write_new();
    if (!archive)
        return -ENOMEM;
    int r = begin(archive, label, buf);
    for (size_t i = 0; i < n && r == ARCHIVE_OK; i++)
        r = add(archive, &files[i]);
    if (r == ARCHIVE_OK)
        r = archive_write_close(archive);
    int result = 0;
    if (r != ARCHIVE_OK) {
        result = archive_errno(archive) > 0 ? -archive_errno(archive) : -EIO;
        const char *why = archive_error_string(archive);
        snprintf(error, 512, "ISO 9660 volume: %.400s", why ? why : "libarchive does not say why");
    }
    archive_write_free(archive);
    return result;
}
