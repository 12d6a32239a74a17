foreach(what spec json cli story image birth)
  mf_test(test_client_${what} SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_client_${what}.c USES mf_cli LABELS unit TIMEOUT 60)
endforeach()
target_compile_definitions(test_client_spec PRIVATE MAYFLY_EXAMPLES="${CMAKE_SOURCE_DIR}/deploy/examples")
mf_test(test_client_link SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_client_link.c ${CMAKE_CURRENT_LIST_DIR}/transport_fixture.c
        USES mf_client LABELS unit TIMEOUT 60)
