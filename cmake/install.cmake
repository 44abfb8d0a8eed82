# `cmake --install`: the library and its headers, found by find_package(linnet) and by pkg-config.
include(CMakePackageConfigHelpers)

install(TARGETS linnet EXPORT linnet-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES include/linnet/linnet.h include/linnet/linnet.hpp include/linnet/operator.hpp include/linnet/tensor.hpp include/linnet/writing.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/linnet)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/linnet)
install(EXPORT linnet-targets NAMESPACE linnet:: FILE linnet-config.cmake DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/linnet-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/linnet-config-version.cmake DESTINATION ${package_folder})

file(RELATIVE_PATH LINNET_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/linnet.pc.in ${CMAKE_BINARY_DIR}/linnet.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/linnet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
