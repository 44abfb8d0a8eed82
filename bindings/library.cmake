# What the bindings in C++ share: the target `linnet`, and the settings that they are compiled with.
# Empty: the library is built from the source tree that this folder lies in.
set(LINNET_LIBRARY "" CACHE FILEPATH "A liblinnet.so that is there already")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

get_filename_component(root ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)
if(LINNET_LIBRARY)
  add_library(linnet SHARED IMPORTED)
  set_target_properties(linnet PROPERTIES IMPORTED_LOCATION ${LINNET_LIBRARY})
  target_include_directories(linnet INTERFACE ${root}/include)
else()
  set(LINNET_BUILD_TESTS OFF CACHE BOOL "")
  set(LINNET_BUILD_CLI OFF CACHE BOOL "")
  set(LINNET_BUILD_EXAMPLES OFF CACHE BOOL "")
  add_subdirectory(${root} linnet EXCLUDE_FROM_ALL)
endif()
include_directories(${CMAKE_CURRENT_LIST_DIR})  # handle.h
