/* qcow2.c - the header is copied out, each field is bounded by what QEMU itself would take, and both tables
 * must lie within the file. Whatever leads to another file (a backing file, an external data file) is
 * refused: QEMU would open it with its own rights. So is what needs a key or a repair. */
#include "qcow2.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    V2_BYTES = 72,
    V3_BYTES = 104,
    CLUSTER_BITS_MIN = 9,
    CLUSTER_BITS_MAX = 21,
    L1_BYTES_MAX = 32 << 20,
    REFCOUNT_TABLE_BYTES_MAX = 8 << 20,
    REFCOUNT_ORDER_MAX = 6
};
enum incompatible {
    DIRTY = 1,
    CORRUPT = 2,
    EXTERNAL_DATA = 4,
    COMPRESSION = 8,
    EXTENDED_L2 = 16,
    KNOWN = 31
};
enum extension { END = 0, DATA_FILE = 0x44415441, ENCRYPTION = 0x0537be77 };

struct header {
    uint32_t version, cluster_bits, crypt, l1_entries, refcount_clusters, snapshots, refcount_order, length;
    uint64_t backing, size, l1, refcount, incompatible;
};

static uint64_t be(const uint8_t *at, unsigned n)
{
    uint64_t value = 0;
    while (n-- > 0)
        value = value << 8 | *at++;
    return value;
}

static struct header parse(const uint8_t bytes[V3_BYTES])
{
    struct header h = {
        .version = (uint32_t)be(bytes + 4, 4),
        .backing = be(bytes + 8, 8),
        .cluster_bits = (uint32_t)be(bytes + 20, 4),
        .size = be(bytes + 24, 8),
        .crypt = (uint32_t)be(bytes + 32, 4),
        .l1_entries = (uint32_t)be(bytes + 36, 4),
        .l1 = be(bytes + 40, 8),
        .refcount = be(bytes + 48, 8),
        .refcount_clusters = (uint32_t)be(bytes + 56, 4),
        .snapshots = (uint32_t)be(bytes + 60, 4),
        .refcount_order = 4,
        .length = V2_BYTES,
    };
    if (h.version >= 3) {
        h.incompatible = be(bytes + 72, 8);
        h.refcount_order = (uint32_t)be(bytes + 96, 4);
        h.length = (uint32_t)be(bytes + 100, 4);
    }
    return h;
}

/* What leads elsewhere, or can't be used as it is. */
static const char *unfit(const struct header *h)
{
    if (h->version != 2 && h->version != 3)
        return "is qcow of a version that is not 2 or 3; convert it: qemu-img convert -O qcow2";
    if (h->backing != 0)
        return "has a backing file; flatten it: qemu-img convert -O qcow2";
    if (h->incompatible & EXTERNAL_DATA)
        return "has an external data file; convert it: qemu-img convert -O qcow2";
    if (h->crypt != 0)
        return "is encrypted; convert it without";
    if (h->incompatible & (DIRTY | CORRUPT))
        return "was not closed in order, or is corrupt; repair it: qemu-img check -r all";
    if (h->incompatible & ~(uint64_t)KNOWN)
        return "needs a feature that is not known here; convert it: qemu-img convert -O qcow2";
    if (h->snapshots != 0)
        return "holds snapshots; convert it: qemu-img convert -O qcow2";
    return NULL;
}

static bool within(uint64_t at, uint64_t bytes, uint64_t cluster, uint64_t file_bytes)
{
    return at >= cluster && at % cluster == 0 && at <= file_bytes && bytes <= file_bytes - at;
}

static const char *torn(const struct header *h, uint64_t file_bytes)
{
    if (h->cluster_bits < CLUSTER_BITS_MIN || h->cluster_bits > CLUSTER_BITS_MAX)
        return "has clusters of a size that qcow2 does not have";
    uint64_t cluster = UINT64_C(1) << h->cluster_bits;
    if (h->version == 3 && (h->length < V3_BYTES || h->length > cluster || h->length % 8 != 0 ||
                            h->refcount_order > REFCOUNT_ORDER_MAX))
        return "has a broken header";
    if (h->size == 0 || h->size % 512 != 0 || h->size > MF_DISK_MAX_BYTES)
        return "claims to be a disk of no size that a disk has (at most 64 TiB)";
    uint64_t l2_entries = cluster / (h->incompatible & EXTENDED_L2 ? 16 : 8);
    uint64_t l1_needed = (h->size - 1) / (cluster * l2_entries) + 1;
    uint64_t l1_bytes = (uint64_t)h->l1_entries * 8, refcount_bytes = h->refcount_clusters * cluster;
    if (l1_bytes > L1_BYTES_MAX || h->l1_entries < l1_needed || !within(h->l1, l1_bytes, cluster, file_bytes))
        return "has a table of clusters that is not within the file, or too small or large; it may be cut "
               "short";
    if (refcount_bytes == 0 || refcount_bytes > REFCOUNT_TABLE_BYTES_MAX ||
        !within(h->refcount, refcount_bytes, cluster, file_bytes))
        return "has a table of reference counts that is not within the file; it may be cut short";
    return NULL;
}

/* Header extensions stand between the header and the end of the first cluster. */
static const char *leads_elsewhere(const uint8_t *bytes, size_t at, size_t len)
{
    while (len - at >= 8) {
        uint32_t type = (uint32_t)be(bytes + at, 4), size = (uint32_t)be(bytes + at + 4, 4);
        at += 8;
        if (type == END)
            return NULL;
        if (type == DATA_FILE)
            return "names an external data file; convert it: qemu-img convert -O qcow2";
        if (type == ENCRYPTION)
            return "is encrypted; convert it without";
        if (size > len - at)
            return "has a broken header";
        at += (size + 7) & ~(size_t)7;
        if (at > len)
            return "has a broken header";
    }
    return NULL;
}

static const char *read_extensions(int fd, const struct header *h)
{
    size_t cluster = (size_t)1 << h->cluster_bits;
    uint8_t *bytes = malloc(cluster);
    if (!bytes)
        return "cannot be read: no memory";
    ssize_t n = pread(fd, bytes, cluster, 0);
    const char *wrong =
        n < (ssize_t)h->length ? "is cut short" : leads_elsewhere(bytes, h->length, (size_t)n);
    free(bytes);
    return wrong;
}

int mf_qcow2_check(int fd, uint64_t file_bytes, uint64_t *ret_virtual_bytes, char why[MF_FORMAT_WHY])
{
    uint8_t bytes[V3_BYTES] = {0};
    const char *wrong = NULL;
    ssize_t n = pread(fd, bytes, sizeof bytes, 0);
    struct header h = parse(bytes);
    if (n < V2_BYTES || (h.version == 3 && n < V3_BYTES))
        wrong = "is cut short within its header";
    if (!wrong)
        wrong = unfit(&h);
    if (!wrong)
        wrong = torn(&h, file_bytes);
    if (!wrong)
        wrong = read_extensions(fd, &h);
    if (!wrong) {
        *ret_virtual_bytes = h.size;
        return 0;
    }
    mf_str_format(why, MF_FORMAT_WHY, "%s", wrong);
    return -EINVAL;
}
