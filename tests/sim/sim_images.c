/* An agent's image cache in a simulated world: the first fetch on a node takes its time, later ones find the
 * file there; a full disk has no room for it. What is fetched outlives the agent, its wants do not. */
#include "sim_node.h"
#include "weather.h"
#include <stdlib.h>

struct fetch {
    struct mf_sim_event event;
    struct mf_sim_node *node;
    uint64_t life, ticket;
    struct mf_digest sha256;
};

static void fetch_drop(struct mf_sim_event *event)
{
    free(MF_SIM_OWNER(event, struct fetch, event));
}

static void tell_file(struct mf_sim_node *node, struct mf_digest sha256, enum mf_image_progress state)
{
    mf_sim_agent_feed(node,
                      &(struct mf_worker_event){.kind = MF_WORKER_FILE,
                                                .tell = true,
                                                .file = {.sha256 = sha256, .state = state, .bytes = 4096}});
}

static void answer(struct fetch *fetch)
{
    struct mf_sim_node *node = fetch->node;
    bool room = node->stocked || !node->full;
    if (!node->stocked)
        tell_file(node, fetch->sha256, room ? MF_IMAGE_PROGRESS_CACHED : MF_IMAGE_PROGRESS_FAILED);
    if (!node->core || node->life != fetch->life)
        return;
    node->stocked = room;
    mf_sim_agent_feed(node, &(struct mf_worker_event){.kind = MF_WORKER_FETCHED,
                                                      .fetch_ticket = fetch->ticket,
                                                      .code = room ? MF_E_OK : MF_E_DISK_FULL,
                                                      .text = mf_str(room ? "" : "no space for it")});
}

static void fetch_fires(struct mf_sim_event *event)
{
    struct fetch *fetch = MF_SIM_OWNER(event, struct fetch, event);
    struct mf_sim_node *node = fetch->node;
    if (mf_sim_node_agent_stopped(node) && node->life == fetch->life) {
        mf_sim_after(node->world, event, 20);
        return;
    }
    if (node->core && node->life == fetch->life)
        answer(fetch);
    free(fetch);
}

/* One that nobody wants any more is not called back: the core knows its tickets. */
void mf_sim_images_action(struct mf_sim_node *node, const struct mf_worker_action *action)
{
    if (action->kind == MF_WORKER_FETCH_OVER)
        return;
    struct fetch *fetch = mf_sim_alloc(sizeof(*fetch));
    *fetch = (struct fetch){.event = {.fire = fetch_fires, .drop = fetch_drop},
                            .node = node,
                            .life = node->life,
                            .ticket = action->fetch_ticket,
                            .sha256 = action->image.kernel_sha256};
    mf_sim_after(node->world, &fetch->event, node->stocked ? 0 : mf_sim_between(node->world, 50, 3000));
}
