// The shared library of the CUDA backend: where it is looked for and how it is opened.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.hpp"

namespace hourglass {

/// The entry points of an opened library. It is never closed: CUDA's runtime registers handlers
/// that run at exit.
struct BackendLibrary {
  std::string path;
  OpenBackend open = nullptr;
  CountDevices count_devices = nullptr;
  DescribeDevice describe_device = nullptr;
};

/// Either a library with at least one device, or why there is none.
struct LibrarySearch {
  std::optional<BackendLibrary> library;
  int devices = 0;
  std::string reason;  ///< one line, for people; empty where there is a library
};

/// The places that are looked at, in turn. The variable HOURGLASS_CUDA_BACKEND names the one file
/// to take instead; otherwise: beside the executable, ../lib/hourglass from there, the installed
/// folder.
std::vector<std::string> cuda_library_paths();

/// Opens the library at `path` and counts its devices.
LibrarySearch open_library(const std::string& path);

/// Whether there is a library of NVIDIA's driver, which every CUDA library needs.
bool has_cuda_driver();

/// Opens the first of `paths` that is there, unless `has_driver` says that it could find no device:
/// that is known at once, where to load a library with cuBLAS and cuFFT, only to be told the same,
/// takes longer than all else that `hourglass devices` does.
LibrarySearch open_first_library(const std::vector<std::string>& paths,
                                 const std::function<bool()>& has_driver);

/// Opens the first library of cuda_library_paths() that is there; the one that the variable names
/// without a look for the driver.
LibrarySearch find_cuda_library();

}  // namespace hourglass
