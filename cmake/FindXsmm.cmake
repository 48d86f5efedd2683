# Xsmm::Xsmm, the small matrix products of libxsmm (x86-64 only), with the BLAS that it falls back to left to the caller.
# Debian's package is libxsmm-dev.
find_path(Xsmm_INCLUDE_DIR libxsmm.h)
find_library(Xsmm_LIBRARY xsmm)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Xsmm REQUIRED_VARS Xsmm_LIBRARY Xsmm_INCLUDE_DIR)

if(Xsmm_FOUND AND NOT TARGET Xsmm::Xsmm)
  add_library(Xsmm::Xsmm UNKNOWN IMPORTED)
  set_target_properties(Xsmm::Xsmm PROPERTIES
    IMPORTED_LOCATION ${Xsmm_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${Xsmm_INCLUDE_DIR}
    INTERFACE_LINK_LIBRARIES "${CMAKE_DL_LIBS};rt;m")
endif()
