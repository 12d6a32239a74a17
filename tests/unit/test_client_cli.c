/* The command line's frame: the table of commands, misuse and its exit code, what people may name. */
#include "cli.h"
#include "dev.h"
#include "target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Run a command line with its output thrown away. */
static int run(const char *line)
{
    char copy[1024], *argv[64];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    fflush(stdout);
    fflush(stderr);
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    int r = mf_cli_main(argc, argv);
    fflush(stdout);
    fflush(stderr);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    close(null);
    return r;
}

static void table_is_sound(void **state)
{
    const struct mf_cli_command *command, *other;
    const struct mf_cli_option *option;
    size_t n = 0;
    for (size_t cursor = 0; (command = mf_cli_next_command(&cursor)); n++) {
        bool letters[128] = {0};
        assert_non_null(command->run);
        assert_true(strlen(command->help) > 5 && command->help[strlen(command->help) - 1] == '.');
        assert_true(command->min_args <= command->max_args);
        for (size_t inner = cursor; (other = mf_cli_next_command(&inner));)
            assert_string_not_equal(command->name, other->name);
        for (size_t inner = 0; (option = mf_cli_next_option(command, &inner));) {
            assert_true(strlen(option->help) > 5);
            assert_false(option->letter && letters[(int)option->letter]);
            letters[(int)option->letter] = true;
        }
    }
    assert_true(n > 20);
}

static void helps_with_every_command(void **state)
{
    const struct mf_cli_command *command;
    char line[128];
    for (size_t cursor = 0; (command = mf_cli_next_command(&cursor));) {
        snprintf(line, sizeof line, "mayfly help %s", command->name);
        assert_int_equal(run(line), 0);
        snprintf(line, sizeof line, "mayfly %s --help", command->name);
        assert_int_equal(run(line), 0);
    }
    assert_int_equal(run("mayfly help"), 0);
    assert_int_equal(run("mayfly help dev"), 0);
    assert_int_equal(run("mayfly --help"), 0);
    assert_int_equal(run("mayfly --version"), 0);
    assert_int_equal(run("mayfly completion bash"), 0);
}

static void misuse_is_two(void **state)
{
    static const char *const lines[] = {
        "mayfly",
        "mayfly nonsense",
        "mayfly image",
        "mayfly help nonsense",
        "mayfly completion fish",
        "mayfly groups --nonsense",
        "mayfly groups extra",
        "mayfly groups -o yaml",
        "mayfly groups",                            /* no broker is known */
        "mayfly groups --broker tcp://127.0.0.1:1", /* no key is known */
        "mayfly scale web",
        "mayfly scale web many",
        "mayfly scale web 10001",
        "mayfly scale web -1",
        "mayfly destroy",
        "mayfly destroy web/3#2",
        "mayfly destroy node/node-1",
        "mayfly destroy Web",
        "mayfly provision --group web --count 3 --image tiny",
        "mayfly provision --group web --count 0 --image tiny --offering small",
        "mayfly provision --group web --count 3x --image tiny --offering small",
        "mayfly provision --group web --count 3 --image tiny --offering small --spread rack",
        "mayfly provision --group web --count 3 --image tiny --offering small --label rack",
        "mayfly provision --group",
        "mayfly apply",
        "mayfly logs web",
        "mayfly why w@b",
        "mayfly events --from now",
        "mayfly key create --keys /nonexistent --role king k",
        "mayfly key create --keys /nonexistent --role client Bad_Name",
        "mayfly provision --group web --count 3 --image tiny --offering small --ready soon",
        "mayfly provision --group web --count 3 --image tiny --offering small --boot-limit 5y",
        "mayfly provision --group web --count 3 --image tiny --offering small --ping 0s",
        "mayfly provision --group web --count 3 --image tiny --offering small --check udp:53",
        "mayfly provision --group web --count 3 --image tiny --offering small --spares 1001",
        "mayfly provision --group web --count 3 --image tiny --offering small --fit snug",
        "mayfly provision --group web --count 3 --image tiny --offering small --prefer rack",
        "mayfly provision --group web --count 3 --image tiny --offering small --spread-by rack=r1",
        "mayfly provision --group web --count 3 --image tiny --offering small --max-skew 0",
        "mayfly provision --group web --count 3 --image tiny --offering small --node-max 4097",
        "mayfly provision --group web --count 3 --image tiny --offering small --apart Db",
        "mayfly provision --group web --count 3 --image tiny --offering small --apart a --apart b --apart c "
        "--apart d --apart e --apart f --apart g --apart h --apart i",
        "mayfly provision --group web --count 3 --image tiny --offering small --priority 101",
        "mayfly place web",
        "mayfly place --explain",
        "mayfly place --explain web --offering small",
        "mayfly place --explain web --spread-by rack",
        "mayfly place --explain web web",
        "mayfly place --explain --offering small --rows 501",
        "mayfly capacity all",
        "mayfly headroom",
        "mayfly headroom rack=r1",
        "mayfly plan",
        "mayfly plan --drain",
        "mayfly plan --rows 3",
        "mayfly plan node-1",
        "mayfly console web",
        "mayfly image add tiny --kernel x",
        "mayfly image add tiny",
        "mayfly image add tiny --initrd x",
        "mayfly image add tiny --url http://h/d --digest 12",
        "mayfly image add tiny --url http://h/d.qcow2",
        "mayfly image add tiny --url http://h/d --disk http://h/d",
        "mayfly image add tiny --url http://h/d --disk-format vmdk --digest 12",
        "mayfly image warm tiny",
        "mayfly image warm tiny --all --stop",
        "mayfly image warm tiny --nodes ,",
        "mayfly image nodes",
        "mayfly offering add small --vcpus 0 --memory-mib 16 --disk-mib 1",
        "mayfly offering add small --vcpus 1",
        "mayfly drain",
        "mayfly cordon a b",
        "mayfly node",
        "mayfly node forget",
        "mayfly freeze now",
        "mayfly adopt node-1",
        "mayfly adopt node-1 web/3",
        "mayfly purge node-1 nonsense",
        "mayfly dev up",
        "mayfly dev kill",
    };
    unsetenv("MAYFLY_BROKER");
    unsetenv("MAYFLY_KEY");
    unsetenv("MAYFLY_DEV_STATE");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (run(lines[i]) != MF_EXIT_MISUSE)
            fail_msg("not misuse: %s", lines[i]);
}

static void failure_is_one(void **state)
{
    assert_int_equal(run("mayfly groups --broker tcp://127.0.0.1:1 --key /nonexistent"), MF_EXIT_FAILED);
    assert_int_equal(run("mayfly apply -f /nonexistent"), MF_EXIT_FAILED);
    assert_int_equal(run("mayfly plan --store /nonexistent --drain node-1"), MF_EXIT_FAILED);
    assert_int_equal(run("mayfly plan --drain node-1 --broker tcp://127.0.0.1:1 --key /nonexistent"),
                     MF_EXIT_FAILED);
    assert_int_equal(run("mayfly apply -f /tmp"), MF_EXIT_FAILED);
    assert_int_equal(run("mayfly dev status --state /nonexistent"), MF_EXIT_FAILED);
    assert_int_equal(run("mayfly dev env --state /tmp"), MF_EXIT_FAILED);
    assert_int_equal(
        run("mayfly provision --group web --count 1 --image tiny --offering small --user-data /nonexistent"),
        MF_EXIT_FAILED);
}

static void expect_target(const char *text, enum mf_target_kind kind, const char *subject)
{
    struct mf_target target;
    char error[256];
    if (mf_target_parse(text, &target, error))
        fail_msg("%s: %s", text, error);
    assert_int_equal(target.kind, kind);
    assert_string_equal(target.subject, subject);
}

static void targets_are_understood(void **state)
{
    struct mf_target target;
    expect_target("web", MF_TARGET_NAME, "default/web");
    expect_target("node-1", MF_TARGET_NAME, "default/node-1");
    expect_target("web/3", MF_TARGET_SLOT, "default/web/3");
    expect_target("web/0#12", MF_TARGET_GENERATION, "default/web/0#12");
    expect_target("default/web/3", MF_TARGET_SLOT, "default/web/3");
    expect_target("default/web", MF_TARGET_NAME, "default/web");
    expect_target("default/3", MF_TARGET_SLOT, "default/default/3"); /* a group may be called default */
    expect_target("node/node-1", MF_TARGET_OTHER, "node/node-1");
    expect_target("node/3", MF_TARGET_SLOT, "default/node/3");
    expect_target("cluster", MF_TARGET_OTHER, "cluster");
    expect_target("018f0000-0000-7000-8000-000000000007", MF_TARGET_UUID, "");
    assert_true(mf_target_of_subject(mf_str("default/web/3#2"), &target));
    assert_int_equal(target.slot, 3);
    assert_int_equal(target.generation, 2);
    assert_string_equal(target.name, "web");
    assert_false(mf_target_of_subject(mf_str("default/web"), &target));
    assert_false(mf_target_of_subject(mf_str("node/node-1"), &target));
}

static void targets_are_refused(void **state)
{
    static const char *const bad[] = {"",       "Web",       "-web",   "web/",
                                      "web/x",  "web/10000", "web/03", "web/3#0",
                                      "web/3#", "web/3/4",   "web/-1", "web/3#2#1",
                                      "we b/1", "web#2",     "/3",     "web/99999999999999999999"};
    struct mf_target target;
    char error[256], longest[100];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (mf_target_parse(bad[i], &target, error) != -EINVAL)
            fail_msg("accepted: \"%s\"", bad[i]);
    memset(longest, 'a', sizeof longest);
    longest[64] = 0;
    assert_int_equal(mf_target_parse(longest, &target, error), -EINVAL);
    longest[63] = 0;
    assert_int_equal(mf_target_parse(longest, &target, error), 0);
}

static void request_ids_differ(void **state)
{
    char a[MAYFLY_REQUEST_ID], b[MAYFLY_REQUEST_ID];
    assert_string_not_equal(mayfly_request_id_make(a), mayfly_request_id_make(b));
    assert_int_equal(strlen(a), 32);
    assert_int_equal(strspn(a, "0123456789abcdef"), 32);
}

static void only_whole_paths_are_ours(void **state)
{
    static const char line[] = "qemu\0-chardev\0socket,path=/d/nodes/node-10/lib/x\0";
    assert_true(mf_dev_mentions(line, sizeof line, "/d/nodes/node-10"));
    assert_false(mf_dev_mentions(line, sizeof line, "/d/nodes/node-1"));
    assert_false(mf_dev_mentions(line, sizeof line, "/d/nodes/node-2"));
    assert_true(mf_dev_mentions("/d/nodes/node-1", 15, "/d/nodes/node-1"));
    assert_true(mf_dev_mentions("/d/nodes/node-10,/d/nodes/node-1,", 33, "/d/nodes/node-1"));
    assert_false(mf_dev_mentions("", 0, "/d"));
}

static void every_member_has_a_name_and_an_address(void **state)
{
    static const char *const names[] = {"broker", "health-0", "health-1", "health-2", "node-0", "node-1"};
    static const char *const places[] = {"10.77.0.1", "10.77.0.2", "10.77.0.3",
                                         "10.77.0.4", "10.77.1.1", "10.77.1.2"};
    struct mf_dev dev = {.monitors = 3, .nodes = 2, .subnet = 77};
    char name[64], address[MF_DEV_ADDRESS];
    for (uint64_t i = 0; i < 6; i++) {
        assert_true(mf_dev_name(&dev, i, name));
        assert_string_equal(name, names[i]);
        assert_string_equal(mf_dev_net_address(&dev, name, address), places[i]);
    }
    assert_false(mf_dev_name(&dev, 6, name));
    assert_true(mf_dev_is_name(&dev, "node-1") && !mf_dev_is_name(&dev, "node-2") &&
                !mf_dev_is_name(&dev, "health-3"));
    assert_string_equal(mf_dev_net_address(&dev, "node-200", address), "10.77.2.1");
    dev.subnet = 0;
    assert_string_equal(mf_dev_net_address(&dev, "node-1", address), "127.0.0.1");
}

/* The copy that a plan is made on holds the whole history: it stays nowhere, also when we are told to end. */
static void a_plan_leaves_no_copy(void **state)
{
    char dir[] = "/tmp/mf-cli-XXXXXX", program[64], store[64], copies[64], line[160];
    int status;
    assert_non_null(mkdtemp(dir));
    snprintf(program, sizeof program, "%s/mayfly-plan", dir);
    snprintf(store, sizeof store, "%s/store", dir);
    snprintf(copies, sizeof copies, "%s/copies", dir);
    snprintf(line, sizeof line, "mayfly plan --store %s --drain node-1", store);
    int fd = open(program, O_WRONLY | O_CREAT, 0700);
    dprintf(fd, "#!/bin/sh\ntest -s \"$2\" && kill -TERM $PPID\nsleep 5\n");
    close(fd);
    fd = open(store, O_WRONLY | O_CREAT, 0600);
    dprintf(fd, "rows");
    close(fd);
    assert_int_equal(mkdir(copies, 0700), 0);
    pid_t pid = fork();
    if (!pid) {
        setenv("MAYFLY_BIN", dir, 1);
        setenv("TMPDIR", copies, 1);
        _exit(run(line));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_int_equal(rmdir(copies), 0); /* it is empty */
    unlink(program);
    unlink(store);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_has_a_name_and_an_address),
        cmocka_unit_test(table_is_sound),
        cmocka_unit_test(helps_with_every_command),
        cmocka_unit_test(misuse_is_two),
        cmocka_unit_test(failure_is_one),
        cmocka_unit_test(targets_are_understood),
        cmocka_unit_test(targets_are_refused),
        cmocka_unit_test(request_ids_differ),
        cmocka_unit_test(only_whole_paths_are_ours),
        cmocka_unit_test(a_plan_leaves_no_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
