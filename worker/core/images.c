/* images.c - what births need that must be fetched first. An image with URLs is one need, however many
 * creates wait for it: FETCH when the first asks, FETCHED when its files are here (or can't be had), and
 * FETCH_OVER when nobody wants it any more: until then its files stay. A need that nobody waits for is kept
 * only for a warm-up, until that is over. What the cache says of single files is passed on to the broker. */
#include "image_files.h"
#include "state.h"
#include <stdlib.h>
#include <string.h>

static struct mf_need *find(const struct mf_worker *self, const struct mf_rec_image *image)
{
    struct mf_need *need;
    TAILQ_FOREACH(need, &self->needs, link)
    if (mf_image_eq(&need->image, image))
        return need;
    return NULL;
}

static struct mf_need *add(struct mf_worker *self, const struct mf_rec_image *image)
{
    struct mf_need *need = calloc(1, sizeof *need);
    MF_CHECK(need);
    need->ticket = ++self->fetch_ticket;
    mf_image_dup(&need->arena, image, &need->image);
    TAILQ_INSERT_TAIL(&self->needs, need, link);
    struct mf_worker_action *action = mf_outbox_add(self, MF_WORKER_FETCH);
    action->fetch_ticket = need->ticket;
    mf_image_dup(&self->arena, image, &action->image);
    return need;
}

static void remove_need(struct mf_worker *self, struct mf_need *need)
{
    TAILQ_REMOVE(&self->needs, need, link);
    mf_arena_free(&need->arena);
    free(need);
}

static void end_if_idle(struct mf_worker *self, struct mf_need *need)
{
    if (need->guests > 0 || need->warm)
        return;
    mf_outbox_add(self, MF_WORKER_FETCH_OVER)->fetch_ticket = need->ticket;
    remove_need(self, need);
}

static struct mf_need *want(struct mf_worker *self, const struct mf_rec_image *image)
{
    struct mf_need *need = find(self, image);
    return need ? need : add(self, image);
}

void mf_needs_hold(struct mf_worker *self, struct mf_guest *guest)
{
    MF_CHECK(!guest->need);
    if (!mf_image_fetched(&guest->order->image))
        return;
    guest->need = want(self, &guest->order->image);
    guest->need->guests++;
}

void mf_needs_release(struct mf_worker *self, struct mf_guest *guest)
{
    struct mf_need *need = guest->need;
    guest->need = NULL;
    if (!need)
        return;
    MF_CHECK(need->guests > 0);
    need->guests--;
    end_if_idle(self, need);
}

bool mf_needs_met(const struct mf_guest *guest)
{
    return !guest->need || guest->need->here;
}

struct mf_str mf_needs_why_not(const struct mf_guest *guest, char text[MF_WORKER_TEXT_MAX])
{
    const struct mf_need *need = guest->need;
    return mf_str_format(text, MF_WORKER_TEXT_MAX, "its time ran out while image %.*s was fetched%s%s",
                         (int)need->image.name.len, need->image.name.ptr, *need->said ? ": " : "",
                         need->said);
}

void mf_needs_warm(struct mf_worker *self, const struct mf_msg_image_fetch *fetch)
{
    if (!mf_image_fetched(&fetch->image) || mf_worker_ends(self))
        return;
    struct mf_need *need = want(self, &fetch->image);
    need->warm = !need->here;
}

static bool waits_for(const struct mf_guest *guest, const struct mf_need *need)
{
    return guest->need == need && guest->life == MF_GUEST_QUEUED;
}

/* Whoever waits for it fails; the last of them ends the need. */
static void fail_all(struct mf_worker *self, struct mf_need *need, const struct mf_guest_cause *cause)
{
    need->guests++; /* it outlives the loop */
    for (struct mf_guest *guest = TAILQ_FIRST(&self->lives[MF_GUEST_QUEUED]), *next; guest; guest = next) {
        next = TAILQ_NEXT(guest, link);
        if (waits_for(guest, need))
            mf_guest_feed(self, guest, MF_GUEST_ON_FAILED, cause);
    }
    need->guests--;
}

void mf_needs_fetched(struct mf_worker *self, const struct mf_worker_event *event)
{
    struct mf_need *need;
    TAILQ_FOREACH(need, &self->needs, link)
    if (need->ticket == event->fetch_ticket)
        break;
    if (!need || need->here) /* given up before the answer came */
        return;
    need->warm = false;
    if (event->code == MF_E_OK)
        need->here = true;
    else
        fail_all(self, need, &(struct mf_guest_cause){.code = event->code, .text = event->text});
    end_if_idle(self, need);
}

/* -- single files */

static void grow_held(struct mf_worker *self)
{
    self->cap_held = self->cap_held ? 2 * self->cap_held : 16;
    self->held = realloc(self->held, self->cap_held * sizeof *self->held);
    MF_CHECK(self->held);
}

static void note_held(struct mf_worker *self, struct mf_digest sha256, bool here)
{
    size_t at = 0;
    while (at < self->n_held && !mf_digest_eq(self->held[at].sha256, sha256))
        at++;
    if (here && at == self->n_held && at < MF_WORKER_HELD_MAX) {
        if (at == self->cap_held)
            grow_held(self);
        self->held[self->n_held++].sha256 = sha256;
    } else if (!here && at < self->n_held)
        self->held[at] = self->held[--self->n_held];
}

static bool has_file(const struct mf_need *need, struct mf_digest sha256)
{
    struct mf_image_file files[MF_PART_COUNT];
    size_t n = mf_image_files(&need->image, files);
    for (size_t i = 0; i < n; i++)
        if (files[i].url && mf_digest_eq(files[i].sha256, sha256))
            return true;
    return false;
}

void mf_needs_file(struct mf_worker *self, const struct mf_worker_event *event)
{
    const struct mf_msg_file_progress *file = &event->file;
    struct mf_need *need;
    if (file->state != MF_IMAGE_PROGRESS_FETCHING)
        note_held(self, file->sha256, file->state == MF_IMAGE_PROGRESS_CACHED);
    TAILQ_FOREACH(need, &self->needs, link)
    if (has_file(need, file->sha256))
        mf_str_format(need->said, sizeof need->said, "%.*s", (int)file->text.len, file->text.ptr);
    if (!event->tell || self->session != MF_SESSION_WELCOMED || mf_worker_ends(self))
        return;
    struct mf_msg_file_progress *said = &mf_outbox_say(self, MF_MSG_FILE_PROGRESS)->file_progress;
    *said = *file;
    said->epoch = self->epoch;
    said->text = mf_str_dup(&self->arena, file->text);
}

void mf_needs_check(const struct mf_worker *self)
{
    const struct mf_need *need;
    TAILQ_FOREACH(need, &self->needs, link)
    {
        size_t guests = 0;
        for (unsigned life = 0; life < MF_GUEST_COUNT; life++) {
            const struct mf_guest *guest;
            TAILQ_FOREACH(guest, &self->lives[life], link)
            guests += guest->need == need;
        }
        MF_CHECK(guests == need->guests);
        MF_CHECK(need->guests > 0 || need->warm);
        MF_CHECK(!need->here || !need->warm);
    }
    MF_CHECK(self->n_held <= MF_WORKER_HELD_MAX);
}

void mf_needs_free(struct mf_worker *self)
{
    while (!TAILQ_EMPTY(&self->needs))
        remove_need(self, TAILQ_FIRST(&self->needs));
    free(self->held);
}
