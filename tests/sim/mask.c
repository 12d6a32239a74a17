/* Masks as text. */
#include "mask.h"
#include <stdio.h>
#include <stdlib.h>

bool mf_sim_mask_parse(struct mf_sim_mask *self, const char *text)
{
    while (*text) {
        char *end;
        unsigned long low = strtoul(text, &end, 10), high = low;
        if (end == text)
            return false;
        if (*end == '-') {
            text = end + 1;
            high = strtoul(text, &end, 10);
            if (end == text)
                return false;
        }
        if (high < low || high >= MF_SIM_FAULTS_MOST || (*end && *end != ','))
            return false;
        for (unsigned long i = low; i <= high; i++)
            mf_sim_mask_put(self, (uint32_t)i);
        text = *end ? end + 1 : end;
    }
    return true;
}

void mf_sim_mask_print(const struct mf_sim_mask *self, char *array, unsigned size)
{
    unsigned len = 0;
    array[0] = 0;
    for (uint32_t i = 0, last; i < MF_SIM_FAULTS_MOST && len + 1 < size; i = last + 1) {
        last = i;
        if (!mf_sim_mask_has(self, i))
            continue;
        while (mf_sim_mask_has(self, last + 1))
            last++;
        int n = last > i ? snprintf(array + len, size - len, "%s%u-%u", len ? "," : "", i, last)
                         : snprintf(array + len, size - len, "%s%u", len ? "," : "", i);
        len += n < 0 ? 0 : (unsigned)n;
    }
}
