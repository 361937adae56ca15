# cmake --install: libraries, headers, the program, and what find_package(nearlite CONFIG) and pkg-config read.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(layers GLOBAL PROPERTY nearlite_layers)
get_property(aggregates GLOBAL PROPERTY nearlite_aggregates)
install(TARGETS ${layers} ${aggregates} nearlite_sqlite EXPORT nearliteTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(layer IN LISTS layers)
  get_target_property(folder ${layer} SOURCE_DIR)
  install(DIRECTORY ${folder}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endforeach()

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/nearlite)
install(EXPORT nearliteTargets NAMESPACE nearlite:: DESTINATION ${package_folder})
configure_package_config_file(cmake/nearliteConfig.cmake.in ${PROJECT_BINARY_DIR}/nearliteConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/nearliteConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/nearliteConfig.cmake ${PROJECT_BINARY_DIR}/nearliteConfigVersion.cmake
        DESTINATION ${package_folder})

# A static library is named before those it uses, so top first.
list(REVERSE layers)
list(TRANSFORM layers PREPEND -l OUTPUT_VARIABLE NEARLITE_PC_LIBS)
list(JOIN NEARLITE_PC_LIBS " " NEARLITE_PC_LIBS)
# Relative, so that `cmake --install --prefix` may name another place than the configure did.
file(RELATIVE_PATH NEARLITE_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
set(NEARLITE_PC_REQUIRES "sqlite3 libcrypto")
if(NEARLITE_SERVICE)
  string(APPEND NEARLITE_PC_REQUIRES " libcurl tomlplusplus prometheus-cpp-core")
endif()
configure_file(cmake/nearlite.pc.in ${PROJECT_BINARY_DIR}/nearlite.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/nearlite.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES README.md LICENSE THIRD_PARTY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(NEARLITE_CLI)
  install(TARGETS nearlite RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
