// Recorded sequences: the stream is captured into a graph, which is made ready to run once and then
// costs one launch a run.
//
// Thread-local capture: while this thread records, the runtime refuses it what a graph cannot hold
// (memory from the driver, waiting), and other threads go on with theirs.
#include <utility>

#include "kernels/cuda/backend.hpp"

namespace hourglass::cuda {
namespace {

/// The capture of a stream, ended in any case: a stream that is left in capture can do nothing
/// else.
class Capture {
 public:
  explicit Capture(cudaStream_t stream) : stream_(stream) {
    HOURGLASS_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    if (stream_ != nullptr) cudaStreamEndCapture(stream_, &graph_);
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
    cudaGetLastError();  // what the abandoned capture left
  }

  /// The graph of what was captured, which this owns.
  [[nodiscard]] cudaGraph_t end() {
    HOURGLASS_CUDA_CHECK(cudaStreamEndCapture(std::exchange(stream_, nullptr), &graph_));
    return graph_;
  }

 private:
  cudaStream_t stream_;
  cudaGraph_t graph_ = nullptr;
};

class GraphSequence final : public Sequence {
 public:
  GraphSequence(cudaStream_t stream, cudaGraph_t graph) : stream_(stream) {
    HOURGLASS_CUDA_CHECK(cudaGraphInstantiate(&graph_, graph, 0));
  }
  GraphSequence(const GraphSequence&) = delete;
  GraphSequence& operator=(const GraphSequence&) = delete;
  ~GraphSequence() override { cudaGraphExecDestroy(graph_); }

  void run(int times) override {
    for (int time = 0; time < times; ++time)
      HOURGLASS_CUDA_CHECK(cudaGraphLaunch(graph_, stream_));
  }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace

std::unique_ptr<Sequence> CudaBackend::record(std::function<void()> operations) {
  forbid_in_capture(stream(), "record", "a sequence cannot hold another");
  Capture capture(stream());
  operations();
  return std::make_unique<GraphSequence>(stream(), capture.end());
}

}  // namespace hourglass::cuda
