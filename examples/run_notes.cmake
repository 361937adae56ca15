# Runs the example twice, the second time on what the first one left: the question leads to the same note.
file(REMOVE_RECURSE ${FOLDER})
file(MAKE_DIRECTORY ${FOLDER})
foreach(run first second)
  execute_process(COMMAND ${PROGRAM} ${MODEL} ${FOLDER} "how do I restart my internet connection?"
                  OUTPUT_VARIABLE output RESULT_VARIABLE result)
  message(STATUS "${output}")
  if(NOT result EQUAL 0 OR NOT output MATCHES "^note 2, similarity 0\\.[0-9]+")
    message(FATAL_ERROR "the ${run} run: wanted note 2 (exit ${result})")
  endif()
endforeach()
