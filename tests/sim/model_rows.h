/* model_rows.h - the parts of the checkers' fold, one for each kind of row. Private to model*.c. */
#ifndef MF_SIM_MODEL_ROWS_H
#define MF_SIM_MODEL_ROWS_H

#include "model.h"

void mf_sim_model_text(char *array, size_t size, struct mf_str str);
void mf_sim_model_zone(char zone[64], struct mf_labels labels);
struct mf_sim_group *mf_sim_model_group(struct mf_sim_model *self, struct mf_uuid id); /* fails if unknown */
struct mf_sim_nodeview *mf_sim_model_node(struct mf_sim_model *self,
                                          struct mf_str name); /* made if unknown */

bool mf_sim_is_over(enum mf_instance_state state);
bool mf_sim_keeps_waiting(enum mf_instance_state state);

void mf_sim_model_instance_row(struct mf_sim_model *self, const struct mf_sim_row *row,
                               const struct mf_event *event);
void mf_sim_model_node_row(struct mf_sim_model *self, const struct mf_sim_row *row,
                           const struct mf_event *event);

#endif
