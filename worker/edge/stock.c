/* stock.c - the agent and its image cache: opened with its settings, told what the core wants, and what it
 * says brought to the loop as finished jobs, like everything that other threads say. */
#include "agent.h"
#include "check.h"
#include "program.h"
#include <stdio.h>
#include <string.h>

static void cache_says_fetched(void *arg, uint64_t ticket, enum mf_errcode code, const char *text)
{
    struct mf_agent *self = arg;
    struct mf_work *work = mf_work_new(self, MF_WORK_FETCHED);
    work->ticket = ticket;
    work->code = code;
    mf_str_format(work->text, sizeof work->text, "%s", text);
    mf_pool_push(self->pool, &work->job);
}

static void cache_says_file(void *arg, const struct mf_msg_file_progress *file, bool tell)
{
    struct mf_agent *self = arg;
    struct mf_work *work = mf_work_new(self, MF_WORK_FILE);
    mf_str_format(work->text, sizeof work->text, "%.*s", (int)file->text.len, file->text.ptr);
    work->file = *file;
    work->file.text = mf_str(work->text);
    work->tell = tell;
    mf_pool_push(self->pool, &work->job);
}

int mf_agent_stock_open(struct mf_agent *self, char error[512])
{
    const struct mf_agent_settings *s = &self->settings;
    const struct mf_images_config config = {
        .root = s->image_root && *s->image_root ? s->image_root : NULL,
        .fetch = {.state = s->state,
                  .cache_mib = (uint64_t)s->image_cache_mib,
                  .reserve_mib = (uint64_t)s->disk_reserve_mib,
                  .recheck_s = s->image_recheck_s,
                  .stall_s = s->image_stall_s,
                  .ca_file = s->image_ca && *s->image_ca ? s->image_ca : NULL,
                  .fetched = cache_says_fetched,
                  .file = cache_says_file,
                  .arg = self},
    };
    return mf_images_open(&config, &self->fixed.images, error);
}

void mf_agent_stock_do(struct mf_agent *self, const struct mf_worker_action *action)
{
    struct mf_fetch *fetch = mf_images_fetch(self->fixed.images);
    if (action->kind == MF_WORKER_FETCH)
        mf_fetch_want(fetch, action->fetch_ticket, &action->image);
    else
        mf_fetch_drop(fetch, action->fetch_ticket);
}

static void log_file(const struct mf_work *work)
{
    char sha256[MF_DIGEST_TEXT], quoted[512];
    const struct mf_msg_file_progress *file = &work->file;
    bool failed = file->state == MF_IMAGE_PROGRESS_FAILED;
    if (!work->tell || (file->state == MF_IMAGE_PROGRESS_FETCHING && !*work->text))
        return;
    mf_log(failed ? MF_LOG_WARNING : MF_LOG_INFO, "image file",
           "state=%s sha256=%s bytes=%llu took_ms=%llu text=%s", mf_image_progress_word(file->state),
           mf_digest_text(file->sha256, sha256), (unsigned long long)file->bytes,
           (unsigned long long)file->took_ms, mf_log_quote(work->text, quoted));
}

struct mf_worker_event mf_agent_stock_event(const struct mf_work *work)
{
    if (work->kind == MF_WORK_FETCHED)
        return (struct mf_worker_event){.kind = MF_WORKER_FETCHED,
                                        .fetch_ticket = work->ticket,
                                        .code = work->code,
                                        .text = mf_str(work->text)};
    log_file(work);
    return (struct mf_worker_event){.kind = MF_WORKER_FILE, .file = work->file, .tell = work->tell};
}
