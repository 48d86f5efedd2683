# OpenBLAS::OpenBLAS, from the configuration file that OpenBLAS installs (which on Debian only sets variables), else by
# searching for cblas.h and the library.
find_package(OpenBLAS CONFIG QUIET)
if(NOT OpenBLAS_LIBRARIES)
  find_library(OpenBLAS_LIBRARIES openblas)
endif()
if(NOT OpenBLAS_INCLUDE_DIRS)
  find_path(OpenBLAS_INCLUDE_DIRS cblas.h PATH_SUFFIXES openblas openblas-pthread)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OpenBLAS
  REQUIRED_VARS OpenBLAS_LIBRARIES OpenBLAS_INCLUDE_DIRS VERSION_VAR OpenBLAS_VERSION)

if(OpenBLAS_FOUND AND NOT TARGET OpenBLAS::OpenBLAS)
  add_library(OpenBLAS::OpenBLAS INTERFACE IMPORTED)
  target_include_directories(OpenBLAS::OpenBLAS INTERFACE ${OpenBLAS_INCLUDE_DIRS})
  target_link_libraries(OpenBLAS::OpenBLAS INTERFACE ${OpenBLAS_LIBRARIES})
endif()
