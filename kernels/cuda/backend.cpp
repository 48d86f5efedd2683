#include "kernels/cuda/backend.hpp"

#include <algorithm>
#include <string>

#include "kernels/cuda/probe.hpp"

namespace hourglass::cuda {
namespace {

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void require_device(int device) {
  const DeviceCount count = device_count();
  if (count.devices == 0) throw DeviceError("cuda: " + count.reason);
  if (device < 0 || device >= count.devices) {
    throw DeviceError("cuda: there is no GPU " + std::to_string(device) + "; this machine has " +
                      std::to_string(count.devices) + ", numbered from 0");
  }
}

/// `device`, once it is certain that the machine has it and that this library has code for it; it
/// is then current.
int checked_device(int device) {
  require_device(device);
  HOURGLASS_CUDA_CHECK(cudaSetDevice(device));
  const cudaError_t error = probe_kernel_image();
  if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorUnsupportedPtxVersion) {
    cudaGetLastError();
    int major = 0;
    int minor = 0;
    HOURGLASS_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    HOURGLASS_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
    throw DeviceError("cuda: GPU " + std::to_string(device) + " has compute capability " +
                      std::to_string(major) + "." + std::to_string(minor) +
                      ", for which this library holds no code; rebuild with "
                      "-DHOURGLASS_CUDA_ARCHITECTURES=" +
                      std::to_string(major) + std::to_string(minor));
  }
  check(error, "cudaFuncGetAttributes", __FILE__, __LINE__);
  return device;
}

/// What the device's memory pool holds and nobody uses: the next allocation is made of it, though
/// the driver counts it as taken.
std::uint64_t idle_in_pool(int device) {
  int pools = 0;
  HOURGLASS_CUDA_CHECK(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, device));
  if (pools == 0) return 0;
  cudaMemPool_t pool = nullptr;
  HOURGLASS_CUDA_CHECK(cudaDeviceGetDefaultMemPool(&pool, device));
  std::uint64_t reserved = 0;
  std::uint64_t used = 0;
  HOURGLASS_CUDA_CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved));
  HOURGLASS_CUDA_CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
  return reserved - std::min(reserved, used);
}

bool has_tf32(int device) {
  int capability = 0;
  HOURGLASS_CUDA_CHECK(
      cudaDeviceGetAttribute(&capability, cudaDevAttrComputeCapabilityMajor, device));
  return capability >= 8;
}

class EventStopwatch final : public Stopwatch {
 public:
  explicit EventStopwatch(cudaStream_t stream) : stream_(stream) {}
  void start() override { start_.record(stream_); }
  void stop() override { stop_.record(stream_); }
  [[nodiscard]] double seconds() override { return stop_.seconds_since(start_); }

 private:
  cudaStream_t stream_;
  TimedEvent start_;
  TimedEvent stop_;
};

}  // namespace

DeviceCount device_count() {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error == cudaSuccess) {
    if (devices > 0) return {devices, ""};
    return {0, "no NVIDIA GPU was found"};
  }
  cudaGetLastError();
  if (error == cudaErrorNoDevice) {
    return {0, "an NVIDIA driver is installed, but it shows no GPU (is CUDA_VISIBLE_DEVICES set?)"};
  }
  if (error == cudaErrorInsufficientDriver) {
    int driver = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
      return {0, "no NVIDIA driver was found"};
    }
    return {0, "the NVIDIA driver supports CUDA " + version_text(driver) +
                   " and this library needs " + version_text(CUDART_VERSION) +
                   ": update the driver"};
  }
  return {0, std::string("cudaGetDeviceCount failed: ") + cudaGetErrorName(error) + " (" +
                 cudaGetErrorString(error) + ")"};
}

BackendInfo describe_device(int device) {
  require_device(device);
  cudaDeviceProp properties{};
  HOURGLASS_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  // What is free is told of the current device only.
  int current = 0;
  HOURGLASS_CUDA_CHECK(cudaGetDevice(&current));
  HOURGLASS_CUDA_CHECK(cudaSetDevice(device));
  std::size_t free = 0;
  std::size_t total = 0;
  const cudaError_t memory_known = cudaMemGetInfo(&free, &total);
  HOURGLASS_CUDA_CHECK(cudaSetDevice(current));
  check(memory_known, "cudaMemGetInfo", __FILE__, __LINE__);
  BackendInfo info;
  info.backend = "cuda";
  info.name = properties.name;
  info.threads = 1;
  info.memory_bytes = properties.totalGlobalMem;
  info.free_bytes = free + idle_in_pool(device);
  info.cache_bytes = static_cast<std::uint64_t>(properties.l2CacheSize);
  info.tf32 = has_tf32(device);
  return info;
}

CudaBackend::CudaBackend(int device)
    : device_(checked_device(device)),
      heap_(device_, stream_.get()),
      scratch_(heap_, stream_.get()),
      blas_(heap_, stream_.get()),
      tf32_(has_tf32(device)) {
  constexpr std::size_t bytes = (1 + Tickets::strips) * sizeof(unsigned);
  tickets_.all = static_cast<unsigned*>(heap_.allocate(bytes));
  tickets_.strip = tickets_.all + 1;
  fill(tickets_.all, 0, bytes);
}

CudaBackend::~CudaBackend() {
  cudaStreamSynchronize(stream());  // copies from the ring of uploads may be on their way
  heap_.release(tickets_.all);
}

BackendInfo CudaBackend::info() const {
  return describe_device(device_);
}

void* CudaBackend::allocate(std::size_t bytes) {
  return heap_.allocate(bytes);
}

void CudaBackend::release(void* memory) noexcept {
  heap_.release(memory);
}

void CudaBackend::upload(void* device, const void* host, std::size_t bytes) {
  forbid_in_capture(stream(), "upload", "the host's memory is read once, and not at each run");
  uploads_.upload(device, host, bytes, stream());
}

void CudaBackend::download(void* host, const void* device, std::size_t bytes) {
  forbid_in_capture(stream(), "download", "the host would wait for what has not begun");
  if (bytes > 0) {
    HOURGLASS_CUDA_CHECK(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream()));
  }
  synchronize();
}

void CudaBackend::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  HOURGLASS_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream()));
}

void CudaBackend::fill(void* device, unsigned char value, std::size_t bytes) {
  if (bytes == 0) return;
  HOURGLASS_CUDA_CHECK(cudaMemsetAsync(device, value, bytes, stream()));
}

void CudaBackend::synchronize() {
  forbid_in_capture(stream(), "synchronize", "the host would wait for what has not begun");
  HOURGLASS_CUDA_CHECK(cudaStreamSynchronize(stream()));
}

std::unique_ptr<Stopwatch> CudaBackend::make_stopwatch() {
  return std::make_unique<EventStopwatch>(stream());
}

void CudaBackend::begin_range(const char* name) noexcept {
  nvtxRangePushA(name);
}

void CudaBackend::end_range() noexcept {
  nvtxRangePop();
}

}  // namespace hourglass::cuda
