/* json.h - protocol values as JSON: structs by their row of the message table, and event data as it came, so
 * that fields of a newer broker are shown too. Ids are text, digests and other bytes hex, words words, absent
 * optional values null. */
#ifndef MF_CLI_JSON_H
#define MF_CLI_JSON_H

#include "message.h"
#include <jansson.h>

/* A decoded struct. Every field of the table is there, always. */
json_t *mf_json_struct(const struct mf_desc *desc, const void *what);
/* Append n structs of one record. */
void mf_json_rows(json_t *array, const struct mf_desc *record, const void *items, uint32_t n);
/* A msgpack value; `desc` says the kinds of its fields where it is a map of ours, NULL where nothing is
 * known. NULL if the bytes are not one well-formed value within bounds. */
json_t *mf_json_msgpack(struct mf_str bytes, const struct mf_desc *desc);
/* One row of the event log: seq, time_ms, type, subject, cause, data. */
json_t *mf_json_event(const struct mf_rec_event_row *row);
/* Text that need not be UTF-8: what is not is shown as \xNN. */
json_t *mf_json_text(struct mf_str text);
/* "0,2" of the bits of a row's "cells". */
json_t *mf_json_cells(const json_t *row);
json_t *mf_json_u64(uint64_t value); /* as text above what JSON integers hold here */

#endif
