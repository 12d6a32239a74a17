# cmake -DPROGRAM=... -DEXAMPLE=FILE.yaml -DSPOILED=FILE.yaml -P check.cmake
function(expect code pattern)
  execute_process(COMMAND ${PROGRAM} ${ARGN} OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE result)
  if(NOT result EQUAL ${code} OR NOT out STREQUAL "" OR NOT err MATCHES "${pattern}")
    message(FATAL_ERROR "${PROGRAM} ${ARGN}: exit ${result}, not ${code}, or not \"${pattern}\":\n${out}${err}")
  endif()
endfunction()

expect(0 "^$" --config ${EXAMPLE} --check-config)

# An unknown key is told with file and line: exactly one sentence, which nothing pushes out of sight.
file(STRINGS ${EXAMPLE} lines)
list(LENGTH lines length)
math(EXPR line "${length} + 1")
file(READ ${EXAMPLE} text)
file(WRITE ${SPOILED} "${text}colour: red\n")
get_filename_component(name ${SPOILED} NAME)
expect(2 "^[^\n]*${name}:${line}: [^\n]*colour[^\n]*\n$" --config ${SPOILED} --check-config)
expect(2 "^[^\n]*--colour[^\n]*\n$" --colour red)
expect(2 "^[^\n]*missing[^\n]*\n$" --check-config)
