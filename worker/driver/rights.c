/* rights.c - see rights.h. */
#include "rights.h"
#include "message.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool has(unsigned capability)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    return syscall(SYS_capget, &header, data) == 0 &&
           (data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability));
}

bool mf_rights_kill_others(void)
{
    return has(CAP_KILL);
}

/* libvirt drops rights for QEMU, and fails without a word of which one it lacked for that. */
int mf_rights_start_qemu(char error[512])
{
    static const struct {
        unsigned capability;
        const char *name;
    } wanted[] = {{CAP_SETPCAP, "SETPCAP"}, {CAP_SETUID, "SETUID"}, {CAP_SETGID, "SETGID"}};
    for (size_t i = 0; geteuid() == 0 && i < sizeof wanted / sizeof *wanted; i++)
        if (!has(wanted[i].capability)) {
            mf_str_format(
                error, 512,
                "this worker is root without the capability CAP_%s, which libvirt needs to start QEMU: "
                "give SETPCAP, SETUID and SETGID (container: --cap-add %s)",
                wanted[i].name, wanted[i].name);
            return -EPERM;
        }
    return 0;
}
