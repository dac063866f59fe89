# What leaves the build: exported symbols, installed files, find_package(rheo) and pkg-config.
# Include after the targets `rheo` (the library) and `rheo_program` (the program) exist.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Before 1.0 a minor version may break its users, so it is part of the library's name.
set(rheo_abi ${PROJECT_VERSION_MAJOR})
set(rheo_compatibility SameMajorVersion)
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(rheo_abi 0.${PROJECT_VERSION_MINOR})
  set(rheo_compatibility SameMinorVersion)
endif()
set_target_properties(rheo PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${rheo_abi})
set(rheo_exports ${PROJECT_SOURCE_DIR}/cmake/exports.map)
# --no-undefined: without it a shared library links with an operation missing.
target_link_options(rheo PRIVATE LINKER:--no-undefined LINKER:--version-script=${rheo_exports})
set_property(TARGET rheo APPEND PROPERTY LINK_DEPENDS ${rheo_exports})

file(RELATIVE_PATH bin_to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(rheo_program PROPERTIES INSTALL_RPATH "$ORIGIN/${bin_to_lib}")

install(TARGETS rheo EXPORT rheo LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS rheo_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(TARGET rheo_cuda)
  # Beside librheo.so, which looks for it there.
  install(TARGETS rheo_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/rheo DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")

set(cmake_folder ${CMAKE_INSTALL_LIBDIR}/cmake/rheo)
configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/rheoConfig.cmake.in ${PROJECT_BINARY_DIR}/package/rheoConfig.cmake
  INSTALL_DESTINATION ${cmake_folder} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/rheoConfigVersion.cmake
                                 COMPATIBILITY ${rheo_compatibility})
install(FILES ${PROJECT_BINARY_DIR}/package/rheoConfig.cmake
              ${PROJECT_BINARY_DIR}/package/rheoConfigVersion.cmake DESTINATION ${cmake_folder})
install(EXPORT rheo NAMESPACE rheo:: FILE rheoTargets.cmake DESTINATION ${cmake_folder})

file(RELATIVE_PATH RHEO_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" RHEO_PC_TO_PREFIX "${RHEO_PC_TO_PREFIX}")
configure_file(${PROJECT_SOURCE_DIR}/cmake/rheo.pc.in ${PROJECT_BINARY_DIR}/package/rheo.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/rheo.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
