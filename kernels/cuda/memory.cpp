#include "kernels/cuda/memory.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

namespace hourglass::cuda {

void forbid_in_capture(cudaStream_t stream, const char* call, const char* reason) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  HOURGLASS_CUDA_CHECK(cudaStreamIsCapturing(stream, &capture));
  if (capture == cudaStreamCaptureStatusNone) return;
  throw DeviceError(std::string("cuda: ") + call + " within operations that are recorded: " +
                    reason + "; expected operations that neither allocate nor wait");
}

Heap::Heap(int device, cudaStream_t stream) : stream_(stream) {
  int pools = 0;
  HOURGLASS_CUDA_CHECK(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, device));
  pooled_ = pools != 0;
  if (pooled_) {
    // Without this the pool gives its memory back to the driver at every synchronisation.
    cudaMemPool_t pool = nullptr;
    HOURGLASS_CUDA_CHECK(cudaDeviceGetDefaultMemPool(&pool, device));
    std::uint64_t keep = std::numeric_limits<std::uint64_t>::max();
    HOURGLASS_CUDA_CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
  }
}

void* Heap::allocate(std::size_t bytes) {
  forbid_in_capture(stream_, "allocate", "the memory would be another at each run");
  void* memory = nullptr;
  const std::size_t request = std::max<std::size_t>(bytes, 1);
  const cudaError_t error =
      pooled_ ? cudaMallocAsync(&memory, request, stream_) : cudaMalloc(&memory, request);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    std::size_t free = 0;
    std::size_t total = 0;
    cudaMemGetInfo(&free, &total);
    throw DeviceError("cuda: no memory for " + std::to_string(bytes) + " bytes on the GPU; " +
                      std::to_string(free) + " of " + std::to_string(total) +
                      " bytes are free: use a smaller batch or fewer points, or free memory of "
                      "the GPU");
  }
  check(error, "cudaMalloc", __FILE__, __LINE__);
  return memory;
}

void Heap::release(void* memory) noexcept {
  if (memory == nullptr) return;
  if (pooled_) {
    cudaFreeAsync(memory, stream_);
  } else {
    cudaFree(memory);
  }
}

Scratch::Region Scratch::reserve(std::size_t bytes) {
  if (bytes > bytes_) {
    cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    HOURGLASS_CUDA_CHECK(cudaStreamIsCapturing(stream_, &capture));
    if (capture != cudaStreamCaptureStatusNone) {
      throw DeviceError("cuda: workspace must grow to " + std::to_string(bytes) +
                        " bytes while operations are recorded; run them once by themselves before");
    }
    // Doubling bounds what the outgrown blocks hold; beyond 64 MiB the request alone is taken.
    constexpr std::size_t doubling_limit = std::size_t{64} << 20;
    const std::size_t doubled = std::min(2 * bytes_, doubling_limit);
    const std::size_t grown = std::max(bytes, doubled);
    blocks_.reserve(blocks_.size() + 1);
    blocks_.push_back(heap_->allocate(grown));
    bytes_ = grown;
  }
#if defined(HOURGLASS_SIM)
  if (bytes_ > 0) sim::renew_workspace(blocks_.back(), bytes_);
#endif
  return {blocks_.empty() ? nullptr : blocks_.back(), bytes_};
}

UploadRing::UploadRing() {
  void* memory = nullptr;
  HOURGLASS_CUDA_CHECK(cudaMallocHost(&memory, slot_bytes * slots));
  memory_ = static_cast<char*>(memory);
}

void UploadRing::upload(void* device, const void* host, std::size_t bytes, cudaStream_t stream) {
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t part = std::min(slot_bytes, bytes - done);
    char* slot = memory_ + next_ * slot_bytes;
    used_[next_].wait();  // an event that was never recorded does not wait
    std::memcpy(slot, static_cast<const char*>(host) + done, part);
    HOURGLASS_CUDA_CHECK(cudaMemcpyAsync(static_cast<char*>(device) + done, slot, part,
                                         cudaMemcpyHostToDevice, stream));
    used_[next_].record(stream);
    next_ = (next_ + 1) % slots;
    done += part;
  }
}

}  // namespace hourglass::cuda
