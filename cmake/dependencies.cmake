# Third-party libraries, and the options every target of ours is built with. Nothing here is global: a program that
# takes nearlite with FetchContent keeps its own flags.
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)  # a program that adds this folder links to what is found here
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(nlohmann_json 3.11 REQUIRED)
if(NOT TARGET ${NEARLITE_SQLITE_TARGET})
  find_package(SQLite3 3.37 REQUIRED)
endif()
# The one SQLite of the program. Installed, the program names it again (cmake/nearliteConfig.cmake.in).
add_library(nearlite_sqlite INTERFACE)
target_link_libraries(nearlite_sqlite INTERFACE $<BUILD_INTERFACE:${NEARLITE_SQLITE_TARGET}>)
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
if(NOT TARGET nearlite_xxhash)
  add_library(nearlite_xxhash INTERFACE)  # header only: XXH_INLINE_ALL
  target_include_directories(nearlite_xxhash SYSTEM INTERFACE $<BUILD_INTERFACE:${XXHASH_INCLUDE_DIR}>)
endif()
find_path(RE2_INCLUDE_DIR re2/re2.h REQUIRED)
if(NOT TARGET re2)
  find_library(RE2_LIBRARY re2 REQUIRED)  # linked as plain -lre2: Debian's has no CMake package
endif()
if(NEARLITE_SERVICE)
  find_package(tomlplusplus REQUIRED)
  find_package(CURL REQUIRED)
  find_package(prometheus-cpp REQUIRED)
  find_package(Boost 1.74 REQUIRED)  # headers only: Asio, Beast
endif()
if(NEARLITE_CLI)
  find_package(CLI11 REQUIRED)
endif()
if(NEARLITE_DEVELOPER)
  find_package(GTest REQUIRED)
  find_package(benchmark REQUIRED)
endif()

add_library(nearlite_options INTERFACE)
target_compile_features(nearlite_options INTERFACE cxx_std_20)
# GCC 12 sees overlaps in std::string operator+ that are not there (GCC bug 105651), hence -Wno-restrict.
target_compile_options(nearlite_options INTERFACE
  $<BUILD_INTERFACE:-Wall;-Wextra;-Wpedantic;-Wconversion;-Wshadow;-Wno-restrict;$<$<BOOL:${NEARLITE_DEVELOPER}>:-Werror>>)
if(PROJECT_IS_TOP_LEVEL)
  target_compile_options(nearlite_options INTERFACE -fstack-protector-strong)
  target_compile_definitions(nearlite_options INTERFACE _GLIBCXX_ASSERTIONS)
endif()
