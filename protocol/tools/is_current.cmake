# Fails when a committed derived file is not what its program prints now.
#   cmake -DPROGRAM=... -DINPUT=... -DCOMMITTED=... -P is_current.cmake
execute_process(COMMAND ${PROGRAM} ${INPUT} OUTPUT_VARIABLE now RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "${PROGRAM} failed: ${failed}")
endif()
if(EXISTS ${COMMITTED})
  file(READ ${COMMITTED} committed)
endif()
if(NOT now STREQUAL "${committed}")
  message(FATAL_ERROR "${COMMITTED} is out of date; make it again: ${PROGRAM} ${INPUT} > ${COMMITTED}")
endif()
