# Unit tests of protocol/: the codec by the table, and the small things under it.
foreach(what codec hostile bounds ids pulse address containers)
  mf_test(test_protocol_${what} SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_protocol_${what}.c USES mf_protocol LABELS unit protocol)
endforeach()

# docs/PROTOCOL.md is derived; the committed file must be what the tables say now.
get_filename_component(MF_TREE ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)
add_test(NAME protocol-doc-is-current
         COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:mayfly-protocol-doc> -DINPUT=${MF_TREE}/protocol/tools/preamble.md
                 -DCOMMITTED=${MF_TREE}/docs/PROTOCOL.md -P ${MF_TREE}/protocol/tools/is_current.cmake)
set_tests_properties(protocol-doc-is-current PROPERTIES LABELS "unit;protocol")

mf_test(test_protocol_user_data SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_protocol_user_data.c USES mf_user_data LABELS unit protocol)
