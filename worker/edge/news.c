/* news.c - what the driver or the keeper says of a guest, as the core takes it: ended, ready, unwell, where
 * to be found. Of what is bad the guest's last words are evidence. */
#include "agent.h"
#include "places.h"
#include "program.h"

/* A few bytes that were just written: no disk is waited for. */
static void gather_evidence(const struct mf_agent *self, struct mf_work *work)
{
    if (self->fixed.caps & MF_DRIVER_HAS_CONSOLE)
        (void)mf_places_console(self->settings.state, work->id, MF_EVIDENCE_MAX, &work->log, &work->bytes);
}

static void note_death(struct mf_agent *self, struct mf_work *work, const char *source)
{
    char id[MF_UUID_TEXT], quoted[512];
    mf_log(MF_LOG_INFO, "guest ended", "id=%s source=%s how=%s text=%s", mf_uuid_text(work->id, id), source,
           mf_death_word(work->how), mf_log_quote(work->text, quoted));
    self->tally.deaths[work->how]++;
    gather_evidence(self, work);
}

static void note_ready(struct mf_agent *self, const struct mf_work *work)
{
    char id[MF_UUID_TEXT];
    mf_log(MF_LOG_INFO, "guest is ready", "id=%s", mf_uuid_text(work->id, id));
    self->tally.ready++;
}

static void note_unwell(struct mf_agent *self, struct mf_work *work)
{
    char id[MF_UUID_TEXT], quoted[512];
    mf_log(MF_LOG_WARNING, "guest is unwell", "id=%s how=%s text=%s", mf_uuid_text(work->id, id),
           mf_ailment_word(work->ailment), mf_log_quote(work->text, quoted));
    self->tally.unwell[work->ailment]++;
    gather_evidence(self, work);
}

struct mf_worker_event mf_agent_news(struct mf_agent *self, struct mf_work *work, const char *source)
{
    struct mf_worker_event event = {
        .id = work->id, .how = work->how, .ailment = work->ailment, .text = mf_str(work->text)};
    switch (work->kind) {
    case MF_WORK_READY:
        event.kind = MF_WORKER_READY;
        note_ready(self, work);
        break;
    case MF_WORK_UNWELL:
        event.kind = MF_WORKER_UNWELL;
        note_unwell(self, work);
        break;
    case MF_WORK_ADDRESS:
        event.kind = MF_WORKER_ADDRESS;
        break;
    default:
        event.kind = MF_WORKER_DIED;
        note_death(self, work, source);
    }
    event.console = (struct mf_str){work->log, (uint32_t)work->bytes};
    return event;
}
