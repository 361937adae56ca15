# Declares one layer of the architecture: a static library with its own include/ folder, its tests and benchmarks.
#
#   nearlite_layer(<name> SOURCES ... [AVX2 ...] [AVX512 ...] [TESTS ...] [BENCHES ...]
#                  [USES <lower layers> ...] [LINKS <third-party targets> ...])
#
# A layer reaches another one only through USES, and USES must name a layer that was added before it: an upward
# arrow stops the configure, an undeclared one does not compile. AVX2 and AVX512 list the files that hold kernels of one
# instruction set; only they are compiled with its flags. Every public header is also compiled alone.
function(nearlite_layer name)
  cmake_parse_arguments(PARSE_ARGV 1 layer "" "" "SOURCES;AVX2;AVX512;TESTS;BENCHES;USES;LINKS")
  if(layer_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "layer '${name}': unknown arguments ${layer_UNPARSED_ARGUMENTS}")
  endif()
  foreach(lower IN LISTS layer_USES)
    if(NOT TARGET nearlite_${lower})
      message(FATAL_ERROR "layer '${name}' uses '${lower}', which is not below it")
    endif()
  endforeach()
  list(TRANSFORM layer_USES PREPEND nearlite_)
  # A program that uses nearlite decides which SQLite it is, and needs no library that is only headers of ours.
  list(TRANSFORM layer_LINKS REPLACE "^${NEARLITE_SQLITE_TARGET}$" nearlite_sqlite)
  list(TRANSFORM layer_LINKS REPLACE "^(nearlite_xxhash|nlohmann_json::nlohmann_json|Boost::headers)$"
       "$<BUILD_INTERFACE:\\1>")

  add_library(nearlite_${name} STATIC ${layer_SOURCES} ${layer_AVX2} ${layer_AVX512})
  set_target_properties(nearlite_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_NAME layer_${name})
  target_compile_features(nearlite_${name} PUBLIC cxx_std_20)
  target_include_directories(nearlite_${name}
    PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>
    PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(nearlite_${name} PUBLIC ${layer_USES} PRIVATE ${layer_LINKS} $<BUILD_INTERFACE:nearlite_options>)
  set_source_files_properties(${layer_AVX2} PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
  set_source_files_properties(${layer_AVX512} PROPERTIES COMPILE_OPTIONS
    "-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mfma;-mf16c")
  set_property(GLOBAL APPEND PROPERTY nearlite_layers nearlite_${name})

  if(NEARLITE_DEVELOPER)
    nearlite_check_headers(${name})
    if(layer_TESTS)
      nearlite_test(${name} SOURCES ${layer_TESTS} LINKS nearlite_${name} ${layer_LINKS})
      target_include_directories(nearlite_${name}_tests PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    endif()
    if(layer_BENCHES)
      add_executable(nearlite_${name}_bench ${layer_BENCHES})
      target_include_directories(nearlite_${name}_bench PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
      target_link_libraries(nearlite_${name}_bench PRIVATE nearlite_${name} ${layer_LINKS} nearlite_options
                            benchmark::benchmark)
    endif()
  endif()
endfunction()

# Compiles every public header of a layer alone, so that each includes what it uses.
function(nearlite_check_headers name)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}/include
       ${CMAKE_CURRENT_SOURCE_DIR}/include/*.h)
  set(sources)
  foreach(header IN LISTS headers)
    string(MAKE_C_IDENTIFIER ${header} id)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/header_alone/${id}.cpp)
    file(CONFIGURE OUTPUT ${source} CONTENT "#include <${header}>  // compiled alone\n")
    list(APPEND sources ${source})
  endforeach()
  if(sources)
    add_library(nearlite_${name}_headers OBJECT ${sources})
    target_link_libraries(nearlite_${name}_headers PRIVATE nearlite_${name} nearlite_options)
  endif()
endfunction()

# A GoogleTest program, registered as one ctest: nearlite_test(<name> SOURCES ... [LINKS ...])
function(nearlite_test name)
  cmake_parse_arguments(PARSE_ARGV 1 test "" "" "SOURCES;LINKS")
  add_executable(nearlite_${name}_tests ${test_SOURCES})
  target_include_directories(nearlite_${name}_tests PRIVATE ${PROJECT_SOURCE_DIR}/tests/support)
  target_link_libraries(nearlite_${name}_tests PRIVATE ${test_LINKS} nearlite_options GTest::gmock GTest::gtest_main)
  # Half of a build is tests, and optimizing them takes half of that: what they test is optimized, they are not.
  target_compile_options(nearlite_${name}_tests PRIVATE $<$<CONFIG:Release>:-O0>)
  add_test(NAME ${name} COMMAND nearlite_${name}_tests)
  set_tests_properties(${name} PROPERTIES LABELS unit ENVIRONMENT "NEARLITE_TEST_MODEL=${NEARLITE_TEST_MODEL}")
endfunction()
