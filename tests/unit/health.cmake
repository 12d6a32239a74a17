foreach(what table inquiry)
  mf_test(test_health_${what} SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_health_${what}.c USES mf_health_core LABELS unit TIMEOUT 30)
endforeach()
foreach(what core trouble decisions peers checks)
  mf_test(test_health_${what} SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_health_${what}.c ${CMAKE_CURRENT_LIST_DIR}/health_stage.c
          USES mf_health_core LABELS unit TIMEOUT 60)
endforeach()
mf_test(test_health_looker SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_health_looker.c USES mf_health_edge LABELS unit TIMEOUT 60)
mf_test(test_health_edge SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_health_edge.c ${CMAKE_CURRENT_LIST_DIR}/transport_fixture.c USES mf_health_edge LABELS unit TIMEOUT 60)
