/* wellbeing.c - what guests say of themselves, and what is said of them: ready, unwell, where to be found. A
 * guest may speak before its create has come back: that is kept, and told when it runs. */
#include "state.h"
#include <stdlib.h>
#include <string.h>

void mf_wellbeing_ready(struct mf_worker *self, struct mf_guest *guest)
{
    bool lives = guest->life == MF_GUEST_RUNNING || guest->life == MF_GUEST_CREATING;
    if (!lives || guest->ready)
        return;
    guest->ready = true;
    if (guest->life == MF_GUEST_RUNNING)
        mf_reports_ready(self, guest->id);
}

/* Whether it is to end is the broker's to say. */
void mf_wellbeing_unwell(struct mf_worker *self, const struct mf_worker_event *event)
{
    const struct mf_guest *guest = mf_guests_find(self, event->id);
    if (guest && guest->life == MF_GUEST_RUNNING)
        mf_reports_unwell(self, guest->id, event->ailment, event->text, event->console);
}

static void say_address(struct mf_worker *self, const struct mf_guest *guest)
{
    if (self->session != MF_SESSION_WELCOMED || mf_worker_ends(self))
        return;
    struct mf_msg_guest_address *message = &mf_outbox_say(self, MF_MSG_GUEST_ADDRESS)->guest_address;
    message->epoch = self->epoch;
    message->id = guest->id;
    message->address = mf_str_dup(&self->arena, mf_str(guest->address ? guest->address : ""));
}

void mf_wellbeing_address(struct mf_worker *self, const struct mf_worker_event *event)
{
    enum { ADDRESS_MAX = 100 };
    struct mf_guest *guest = mf_guests_find(self, event->id);
    if (!guest || (guest->life != MF_GUEST_RUNNING && guest->life != MF_GUEST_CREATING))
        return;
    if (mf_str_eq(mf_str(guest->address ? guest->address : ""), event->text) || event->text.len > ADDRESS_MAX)
        return;
    free(guest->address);
    guest->address = event->text.len ? strndup(event->text.ptr, event->text.len) : NULL;
    MF_CHECK(guest->address || !event->text.len);
    if (guest->life == MF_GUEST_RUNNING)
        say_address(self, guest);
}

void mf_wellbeing_runs(struct mf_worker *self, struct mf_guest *guest)
{
    if (guest->ready)
        mf_reports_ready(self, guest->id);
    if (guest->address)
        say_address(self, guest);
}

void mf_wellbeing_forget(struct mf_guest *guest)
{
    guest->ready = false;
    free(guest->address);
    guest->address = NULL;
}

/* The broker keeps addresses nowhere but in mind. */
void mf_wellbeing_welcomed(struct mf_worker *self)
{
    const struct mf_guest *guest;
    TAILQ_FOREACH(guest, &self->lives[MF_GUEST_RUNNING], link)
    if (guest->address)
        say_address(self, guest);
}
