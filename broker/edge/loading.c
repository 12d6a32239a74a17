/* loading.c - what cannot be loaded is refused with its place: a broker that guesses about its past would be
 * worse than none. */
#include "loading.h"
#include <errno.h>
#include <inttypes.h>

struct loading {
    struct mf_broker *broker;
    uint64_t records;
    char text[512];
};

static int load_record(void *arg, struct mf_str id, struct mf_str data)
{
    struct loading *l = arg;
    char why[256] = "";

    l->records++;
    if (mf_broker_load_snapshot(l->broker, id, data, why) == 0)
        return 0;
    mf_str_format(l->text, sizeof(l->text),
                  "snapshot record %" PRIu64
                  " (%.*s) cannot be loaded: %s; restore a backup, or run the newer version that wrote it",
                  l->records, (int)(id.len < 40 ? id.len : 40), id.ptr, why);
    return -EINVAL;
}

static int load_row(void *arg, const struct mf_store_row *stored)
{
    struct loading *l = arg;
    const struct mf_desc *desc = mf_desc_by_wire(stored->type);
    struct mf_broker_row row = {.seq = stored->seq,
                                .cause = stored->cause,
                                .time_ms = stored->time_ms,
                                .kind = desc ? desc->kind : MF_KIND_NONE,
                                .subject = stored->subject,
                                .data = stored->data};
    char why[256] = "its type is unknown";

    if (row.kind > MF_MSG_COUNT && mf_broker_load_row(l->broker, &row, why) == 0)
        return 0;
    mf_str_format(l->text, sizeof(l->text),
                  "row %" PRIu64
                  " (%.*s) cannot be loaded: %s; restore a backup, or run the newer version that wrote it",
                  stored->seq, (int)(stored->type.len < 63 ? stored->type.len : 63), stored->type.ptr, why);
    return -EINVAL;
}

int mf_loading_run(const struct mf_store_engine *engine, struct mf_store *store, struct mf_broker *broker,
                   char error[512])
{
    struct loading l = {.broker = broker};
    char text[256] = "";
    int r = engine->load(store, load_record, load_row, &l, text);

    if (r < 0)
        mf_str_format(error, 512, "%s", l.text[0] ? l.text : text);
    return r;
}
