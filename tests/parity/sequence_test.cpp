// Backend::record: operations recorded once and run many times.
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class Recorded : public BackendTest {};
HOURGLASS_FOR_EVERY_BACKEND(Recorded);

TEST_P(Recorded, RunsItsOperationsInOrderAsOftenAsAsked) {
  // v -> 2 v + 1, then w += v: w counts how often, and in which order, both have run.
  std::vector<float> v(257, 1.0f), w(257, 0.0f);
  Trial trial = this->trial(0, "257 values");
  auto chain = trial.in_out(v);
  auto sum = trial.in_out(w);
  auto one = trial.input(std::vector<float>{1.0f});
  trial.run([&](Backend& backend) {
    const auto operations = [&] {
      backend.fma_chain(2.0f, 1.0f, 1, chain.span());
      backend.gemm(Transpose::no, Transpose::no, 1.0f, chain.matrix(257, 1), one.matrix(1, 1), 1.0f,
                   sum.matrix(257, 1));
    };
    operations();
    const std::unique_ptr<Sequence> sequence = backend.record(operations);
    sequence->run(3);
    sequence->run(0);
    sequence->run(1);
    backend.synchronize();  // before the sequence goes
  });
  float value = 1.0f, total = 0.0f;
  for (int i = 0; i < 5; ++i) {
    value = 2.0f * value + 1.0f;
    total += value;
  }
  EXPECT_EQ(chain.values(), std::vector<float>(257, value)) << trial.context();
  EXPECT_EQ(sum.values(), std::vector<float>(257, total)) << trial.context();
}

TEST_P(Recorded, ReadsItsMemoryAnewAtEveryRun) {
  Buffer<float> from(backend(), 1), to(backend(), 1);
  const auto operations = [&] { backend().copy(to.data(), from.data(), sizeof(float)); };
  from.upload(std::vector<float>{1.0f});
  operations();
  const std::unique_ptr<Sequence> sequence = backend().record(operations);
  for (const float value : {2.0f, 3.0f}) {
    from.upload(std::vector<float>{value});
    sequence->run(1);
    EXPECT_EQ(to.download().front(), value);
  }
}

TEST_P(Recorded, OfNothingRuns) {
  const std::unique_ptr<Sequence> sequence = backend().record([] {});
  sequence->run(2);
  backend().synchronize();
}

}  // namespace
}  // namespace hourglass::parity
