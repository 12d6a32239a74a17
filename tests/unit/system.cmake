# What every program says to the system around it: log lines, sd_notify, its pages.
mf_test(test_system_log SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_system_log.c USES mf_system PACKAGES jansson LABELS unit TIMEOUT 60)
mf_test(test_system_notify SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_system_notify.c USES mf_system LABELS unit TIMEOUT 60)
mf_test(test_http SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_http.c USES mf_http LABELS unit TIMEOUT 120)
