# Placement alone: random clusters that keep their own simple books.
foreach(part choice tally policy room pool headroom)
  mf_test(test_placement_${part} SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_placement_${part}.c ${CMAKE_CURRENT_LIST_DIR}/placement_world.c
          USES mf_placement LABELS unit TIMEOUT 300)
endforeach()
