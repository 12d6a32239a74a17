/* clock.c - a wall clock that is far off. Nothing that Mayfly decides hangs on it (leases, deadlines and
 * silences are counted on clocks that only go on), but logs and events of several machines are read side by
 * side, and certificates, images' downloads and guests want the right time. */
#include "program.h"

enum { MF_CLOCK_APART_MS = 5000 };

void mf_clock_compare(uint64_t broker_ms)
{
    int64_t ahead = mf_wall() - (int64_t)broker_ms;
    if (broker_ms == 0 || (ahead < MF_CLOCK_APART_MS && ahead > -MF_CLOCK_APART_MS))
        return;
    mf_log(
        MF_LOG_WARNING,
        "this machine's clock and the broker's are far apart; set both by NTP (chrony, systemd-timesyncd). "
        "Until then times in logs and events do not fit together; leases and deadlines are not touched",
        "ahead_ms=%lld", (long long)ahead);
}
