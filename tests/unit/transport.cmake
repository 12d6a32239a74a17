foreach(what keys bus settings log)
  mf_test(test_transport_${what} SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_transport_${what}.c ${CMAKE_CURRENT_LIST_DIR}/transport_fixture.c USES mf_transport LABELS unit TIMEOUT 60)
endforeach()
