# The broker's core on a stage: a fake edge, virtual time. Golden traces are in tests/trace; MAYFLY_TRACE_WRITE=1 writes them anew.
foreach(part lives requests heal orders views replay hostile leases at_most drain leaving votes breaker pause operators domains drift blame history wellbeing spares images watches explain place bounds headroom)
  mf_test(test_broker_${part} SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_broker_${part}.c ${CMAKE_CURRENT_LIST_DIR}/broker_stage.c
          USES mf_broker_core LABELS unit TIMEOUT 120)
  target_compile_definitions(test_broker_${part} PRIVATE MAYFLY_TRACES="${CMAKE_SOURCE_DIR}/tests/trace")
endforeach()
foreach(part place bounds)
  target_sources(test_broker_${part} PRIVATE ${CMAKE_CURRENT_LIST_DIR}/place_stage.c)
endforeach()
