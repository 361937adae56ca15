# The headers of Annoy, as target nearlite_annoy. They are not part of this tree: tools/fetch takes them from the pinned
# source package, with pip, at the first configure. NEARLITE_ANNOY_DIR names a folder that holds annoylib.h already.
set(NEARLITE_ANNOY_DIR ${PROJECT_SOURCE_DIR}/build/third_party/annoy CACHE PATH "Folder that holds annoylib.h 1.17.3")
if(NOT EXISTS ${NEARLITE_ANNOY_DIR}/annoylib.h)
  message(STATUS "Fetching the headers of Annoy")
  execute_process(COMMAND ${PROJECT_SOURCE_DIR}/tools/fetch annoy ${NEARLITE_ANNOY_DIR} RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "annoylib.h is not in ${NEARLITE_ANNOY_DIR} and could not be fetched with pip. "
                        "Run ./dev setup, or set NEARLITE_ANNOY_DIR to a folder that holds it.")
  endif()
endif()
add_library(nearlite_annoy INTERFACE)
target_include_directories(nearlite_annoy SYSTEM INTERFACE $<BUILD_INTERFACE:${NEARLITE_ANNOY_DIR}>)
