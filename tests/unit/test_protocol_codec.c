/* What is encoded decodes to the same, for every message, event and record of the table; and the few fixed
 * facts of the wire. */
#include "check.h"
#include "codec.h"
#include "generate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 200 };

static struct mf_str view(const struct mf_buf *buf)
{
    return (struct mf_str){buf->ptr, (uint32_t)buf->len};
}

static void round_trip(const struct mf_desc *desc, struct mf_random *random)
{
    struct mf_arena arena = {0}, decoded = {0};
    struct mf_buf first = {0}, second = {0};
    struct mf_decode_error error;
    void *what = malloc(desc->size), *again = malloc(desc->size);

    mf_generate(desc, random, &arena, what);
    mf_encode(desc, what, &first);
    assert_true(first.len < MF_MESSAGE_MAX);
    assert_int_equal(mf_encode_size(desc, what), first.len);
    assert_true(mf_msgpack_valid(view(&first)));
    if (mf_decode(desc, view(&first), &decoded, again, &error) < 0)
        fail_msg("%s: %s", desc->id, error.text);
    assert_int_equal(*(uint64_t *)what, *(uint64_t *)again);
    mf_encode(desc, again, &second);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.ptr, second.ptr, first.len);
    free(what);
    free(again);
    mf_buf_free(&first);
    mf_buf_free(&second);
    mf_arena_free(&arena);
    mf_arena_free(&decoded);
}

static void every_kind_survives_a_round_trip(void **state)
{
    struct mf_random random;

    mf_random_seed(&random, 1);
    for (int round = 0; round < ROUNDS; round++) {
        for (int kind = 1; kind < MF_KIND_COUNT; kind++)
            if (kind != MF_MSG_COUNT)
                round_trip(mf_kind_desc((enum mf_kind)kind), &random);
        for (unsigned i = 0; mf_record_desc(i); i++)
            round_trip(mf_record_desc(i), &random);
    }
}

static void descriptors_name_themselves(void **state)
{
    for (int kind = 1; kind < MF_KIND_COUNT; kind++) {
        if (kind == MF_MSG_COUNT)
            continue;
        const struct mf_desc *desc = mf_kind_desc((enum mf_kind)kind);

        assert_int_equal(desc->kind, kind);
        assert_ptr_equal(mf_desc_by_wire(mf_str(desc->wire)), desc);
        for (unsigned i = 0; i < desc->n_fields; i++) {
            assert_true(desc->fields[i].offset >= sizeof(uint64_t) && desc->fields[i].offset < desc->size);
            assert_true(desc->fields[i].min <= desc->fields[i].max || desc->fields[i].kind == MF_F_ENUM);
        }
    }
    assert_null(mf_desc_by_wire(mf_str("no-such-thing")));
    assert_null(mf_desc_by_wire(mf_str("")));
}

static const struct mf_message *provision(void)
{
    static struct mf_message message = {.kind = MF_MSG_PROVISION};

    message.provision.request_id = mf_str("r1");
    message.provision.group = mf_str("web");
    message.provision.count = 6;
    message.provision.image = mf_str("tiny");
    message.provision.offering = mf_str("small");
    return &message;
}

static void a_provision_looks_like_this(void **state)
{
    static const char expected[] = "\x85\xaarequest_id\xa2r1\xa5group\xa3web\xa5"
                                   "count\x06\xa5image\xa4tiny\xa8offering\xa5small";
    struct mf_buf head = {0}, body = {0};
    struct mf_arena arena = {0};
    struct mf_decode_error error;
    struct mf_message again;

    mf_message_encode(provision(), &head, &body);
    assert_true(mf_str_is(view(&head), "MF1 provision"));
    assert_int_equal(body.len, sizeof(expected) - 1);
    assert_memory_equal(body.ptr, expected, body.len);
    assert_int_equal(mf_message_decode(view(&head), view(&body), &arena, &again, &error), 0);
    assert_int_equal(again.kind, MF_MSG_PROVISION);
    assert_int_equal(again.provision.count, 6);
    assert_true(mf_str_is(again.provision.offering, "small"));
    assert_true(mf_digest_is_zero(again.provision.user_data.digest));
    mf_buf_free(&head);
    mf_buf_free(&body);
    mf_arena_free(&arena);
}

static void a_blob_decodes_with_its_digest(void **state)
{
    struct mf_message message = *provision(), again;
    struct mf_buf head = {0}, body = {0};
    struct mf_arena arena = {0};
    struct mf_decode_error error;

    message.provision.user_data.bytes = mf_str("#!/bin/sh\n");
    mf_message_encode(&message, &head, &body);
    assert_int_equal(mf_message_decode(view(&head), view(&body), &arena, &again, &error), 0);
    assert_true(mf_digest_eq(again.provision.user_data.digest, mf_digest_make("#!/bin/sh\n", 10)));
    mf_buf_free(&head);
    mf_buf_free(&body);
    mf_arena_free(&arena);
}

static enum mf_errcode refused_head(const char *head, char text[256])
{
    static const char body[] = "\x80";
    struct mf_arena arena = {0};
    struct mf_decode_error error;
    struct mf_message message;

    assert_true(mf_message_decode(mf_str(head), mf_str(body), &arena, &message, &error) < 0);
    memcpy(text, error.text, sizeof(error.text));
    mf_arena_free(&arena);
    return error.code;
}

static void another_version_is_told_which_one_is_spoken(void **state)
{
    char text[256];

    assert_int_equal(refused_head("MF2 provision", text), MF_E_VERSION);
    assert_non_null(strstr(text, "MF1 is spoken here"));
    assert_int_equal(refused_head("MF10 provision", text), MF_E_VERSION);
    assert_int_equal(refused_head("MF1 nonsense", text), MF_E_INVALID);
    assert_int_equal(refused_head("MF1 group.created", text), MF_E_INVALID); /* an event is no message */
    assert_int_equal(refused_head("MF1 ", text), MF_E_INVALID);
    assert_int_equal(refused_head("MF1", text), MF_E_INVALID);
    assert_int_equal(refused_head("MF", text), MF_E_INVALID);
    assert_int_equal(refused_head("GET / HTTP/1.1", text), MF_E_INVALID);
    assert_int_equal(refused_head("", text), MF_E_INVALID);
}

/* Runs encode in a child, whose panic must end it and name the field. */
static void assert_encode_panics(const struct mf_message *message, const char *named)
{
    int pipe_fds[2], status;
    char said[512] = "";
    ssize_t n = 0, got;
    pid_t pid;

    assert_int_equal(pipe(pipe_fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct mf_buf head = {0}, body = {0};

        dup2(pipe_fds[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        mf_message_encode(message, &head, &body);
        _exit(0);
    }
    close(pipe_fds[1]);
    while ((got = read(pipe_fds[0], said + n, sizeof(said) - 1 - (size_t)n)) > 0)
        n += got;
    close(pipe_fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(said, named));
}

static void encode_asserts_the_table(void **state)
{
    struct mf_message message = *provision();

    message.provision.count = 0;
    assert_encode_panics(&message, "provision.count: 0 is below 1");
    message = *provision();
    message.provision.group = mf_str("Web");
    assert_encode_panics(&message, "provision.group: \"Web\" is not a name");
    message = *provision();
    message.provision.policy = (enum mf_policy)99;
    assert_encode_panics(&message, "provision.policy");
}

static void optional_fields_travel_when_set_or_marked(void **state)
{
    struct mf_message message = *provision();
    struct mf_arena arena = {0};
    struct mf_decode_error error;
    struct mf_message again;
    struct mf_buf head = {0}, body = {0};
    uint64_t min_bit = 0;
    const struct mf_desc *desc = mf_kind_desc(MF_MSG_PROVISION);

    for (unsigned i = 0; i < desc->n_fields; i++)
        if (strcmp(desc->fields[i].name, "min") == 0)
            min_bit = UINT64_C(1) << i;
    message.provision.has = min_bit; /* min 0, said */
    mf_message_encode(&message, &head, &body);
    assert_int_equal(mf_message_decode(view(&head), view(&body), &arena, &again, &error), 0);
    assert_true(again.provision.has & min_bit);
    assert_int_equal(again.provision.min, 0);
    assert_int_equal(again.provision.fit, MF_FIT_UNSET);
    mf_buf_free(&head);
    mf_buf_free(&body);
    mf_arena_free(&arena);
}

static void the_request_id_of_a_refused_body_is_found(void **state)
{
    struct mf_str id;

    assert_true(mf_message_request_id(mf_str("\x82\xa5"
                                             "count\x05\xaarequest_id\xa2r7"),
                                      &id));
    assert_true(mf_str_is(id, "r7"));
    assert_false(mf_message_request_id(mf_str("\x81\xaarequest_id\x07"), &id));
    assert_false(mf_message_request_id(mf_str("\x81\xaarequest_id\xa2r"), &id));
    assert_false(mf_message_request_id(mf_str("\xaarequest_id"), &id));
    assert_false(mf_message_request_id(mf_str(""), &id));
    assert_int_equal(id.len, 0);
}

static void roles_may_send_what_the_table_says(void **state)
{
    for (int role = MF_ROLE_NONE; role <= MF_ROLE_COUNT; role++)
        for (int kind = 0; kind <= MF_KIND_COUNT; kind++) {
            bool message = kind > MF_KIND_NONE && kind < MF_MSG_COUNT;
            bool expected = message && role > MF_ROLE_NONE && role < MF_ROLE_COUNT &&
                            (mf_kind_desc((enum mf_kind)kind)->may_send & (1u << role));

            assert_int_equal(mf_may_send((enum mf_role)role, (enum mf_kind)kind), expected);
        }
    assert_true(mf_may_send(MF_ROLE_CLIENT, MF_MSG_PROVISION));
    assert_false(mf_may_send(MF_ROLE_READER, MF_MSG_PROVISION));
    assert_false(mf_may_send(MF_ROLE_WORKER, MF_MSG_PROVISION));
    assert_false(mf_may_send(MF_ROLE_CLIENT, MF_MSG_IMAGE_ADD));
    assert_false(mf_may_send(MF_ROLE_OPERATOR, MF_MSG_ACCEPTED));
    assert_true(mf_may_send(MF_ROLE_WORKER, MF_MSG_HELLO));
    assert_true(mf_may_send(MF_ROLE_MONITOR, MF_MSG_MONITOR_VERDICT));
    assert_false(mf_may_send(MF_ROLE_OPERATOR, MF_MSG_MONITOR_VERDICT));
    assert_true(mf_may_send(MF_ROLE_BROKER, MF_MSG_ORDER_CREATE));
    assert_false(mf_may_send(MF_ROLE_BROKER, MF_EV_GROUP_CREATED));
}

static void words_and_values_are_inverse(void **state)
{
    for (unsigned e = 0; mf_enum_desc(e); e++)
        for (unsigned v = 1; v < mf_enum_desc(e)->n; v++)
            assert_int_equal(mf_enum_value(mf_enum_desc(e), mf_str(mf_enum_word(mf_enum_desc(e), v))), v);
    assert_string_equal(mf_policy_word(MF_POLICY_AT_LEAST), "at-least");
    assert_string_equal(mf_policy_word((enum mf_policy)77), "");
    assert_int_equal(mf_policy_value(mf_str("at-most")), MF_POLICY_AT_MOST);
    assert_int_equal(mf_policy_value(mf_str("")), MF_POLICY_UNSET);
    for (int i = 0; i < MF_E_COUNT; i++)
        assert_int_equal(mf_error_value(mf_str(mf_error_code((enum mf_errcode)i))), i);
    assert_int_equal(mf_error_value(mf_str("gremlins")), MF_E_INTERNAL);
    assert_true(mf_error_retry(MF_E_NO_ROOM));
    for (int i = 1; i < MF_ROLE_COUNT; i++)
        assert_int_equal(mf_role_value(mf_str(mf_role_word((enum mf_role)i))), i);
    assert_int_equal(mf_role_value(mf_str("root")), MF_ROLE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_survives_a_round_trip),
        cmocka_unit_test(descriptors_name_themselves),
        cmocka_unit_test(a_provision_looks_like_this),
        cmocka_unit_test(a_blob_decodes_with_its_digest),
        cmocka_unit_test(another_version_is_told_which_one_is_spoken),
        cmocka_unit_test(encode_asserts_the_table),
        cmocka_unit_test(optional_fields_travel_when_set_or_marked),
        cmocka_unit_test(the_request_id_of_a_refused_body_is_found),
        cmocka_unit_test(roles_may_send_what_the_table_says),
        cmocka_unit_test(words_and_values_are_inverse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
