# What would be if: the reader of requests, and the broker's core rehearsed.
mf_test(test_plan_trace SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_plan_trace.c USES mf_plan LABELS unit)
mf_test(test_plan_steps SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_plan_steps.c ${CMAKE_CURRENT_LIST_DIR}/broker_stage.c
        USES mf_plan LABELS unit)
target_compile_definitions(test_plan_steps PRIVATE MAYFLY_TRACES="${CMAKE_SOURCE_DIR}/tests/trace")
