# cmake --build build/dev --target format   rewrites our sources with clang-format
# cmake --build build/dev --target lint     runs clang-tidy over them (needs compile_commands.json of this build)
file(GLOB_RECURSE nearlite_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*.h ${PROJECT_SOURCE_DIR}/src/*.cpp
     ${PROJECT_SOURCE_DIR}/tests/*.h ${PROJECT_SOURCE_DIR}/tests/*.cpp ${PROJECT_SOURCE_DIR}/examples/*.cpp)
set(nearlite_translation_units ${nearlite_sources})
list(FILTER nearlite_translation_units INCLUDE REGEX "src/.*\\.cpp$")
list(FILTER nearlite_translation_units EXCLUDE REGEX "_(test|bench)\\.cpp$")
add_custom_target(format COMMAND clang-format -i ${nearlite_sources} VERBATIM)
add_custom_target(format_check COMMAND clang-format --dry-run --Werror ${nearlite_sources} VERBATIM)
add_custom_target(lint COMMAND run-clang-tidy -quiet -p ${PROJECT_BINARY_DIR} ${nearlite_translation_units} USES_TERMINAL VERBATIM)
