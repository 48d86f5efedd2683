// The ranges that a profiler shows: every phase and step is named, and each that begins ends.
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "hourglass/error.hpp"
#include "hourglass/pca.hpp"
#include "hourglass/scores.hpp"
#include "hourglass/training.hpp"
#include "hourglass/tsne.hpp"
#include "tests/oracle/recording_backend.hpp"
#include "tests/train/training_fixtures.hpp"

namespace hourglass {
namespace {

using testing_support::random_floats;
using testing_support::Record;
using testing_support::recording_device;

using Ranges = std::map<std::string, int>;

class RangesTest : public testing::Test {
 protected:
  /// The ranges of `work`, all of them closed.
  template <class Work>
  Ranges ranges_of(Work&& work) {
    record_->ranges.clear();
    work();
    EXPECT_TRUE(record_->open.empty()) << record_->open.back();
    EXPECT_EQ(record_->unmatched_ends, 0);
    return record_->ranges;
  }

  static Matrix matrix(std::int64_t rows, std::int64_t columns) {
    Matrix x(rows, columns);
    x.values = std::get<1>(random_floats(rows, columns, 1).values);
    return x;
  }

  std::shared_ptr<Record> record_ = std::make_shared<Record>();
  Device device_ = recording_device(record_);
  Dataset data_ = random_floats(100, 6, 1);
  AutoencoderSpec spec_ = [] {
    AutoencoderSpec spec;
    spec.inputs = 6;
    spec.hidden = {3};
    return spec;
  }();
  Autoencoder model_ =
      Autoencoder::initialise(spec_, Scaler::fit(device_, data_, Scaling::unit), 1);
};

TEST_F(RangesTest, OfTraining) {
  TrainingOptions options;
  options.epochs = 2;
  options.batch = 30;  // four steps
  EXPECT_EQ(
      ranges_of([&] { fit(device_, model_, data_, options, data_); }),
      (Ranges{
          {"train", 1}, {"train/epoch", 2}, {"train/epoch/step", 8}, {"train/epoch/evaluate", 2}}));
}

TEST_F(RangesTest, OfTrainingThatEndsEarlyAreClosed) {
  TrainingOptions options;
  options.batch = 30;
  options.progress = [](const TrainingProgress&) { return false; };
  const Ranges interrupted =
      ranges_of([&] { EXPECT_THROW((void)fit(device_, model_, data_, options), Interrupted); });
  EXPECT_EQ(interrupted.at("train/epoch"), 1);
  options.progress = nullptr;
  model_.parameters[0] = std::numeric_limits<float>::quiet_NaN();
  const Ranges failed =
      ranges_of([&] { EXPECT_THROW((void)fit(device_, model_, data_, options), NumericsError); });
  EXPECT_GE(failed.at("train/epoch/step"), 4);
}

TEST_F(RangesTest, OfTrainedModelsAndScalers) {
  EXPECT_EQ(ranges_of([&] { (void)model_.encode(device_, data_); }), (Ranges{{"encode", 1}}));
  EXPECT_EQ(ranges_of([&] { (void)model_.reconstruct(device_, data_); }),
            (Ranges{{"reconstruct", 1}}));
  EXPECT_EQ(ranges_of([&] { (void)model_.decode(device_, matrix(5, 3)); }),
            (Ranges{{"decode", 1}}));
  EXPECT_EQ(ranges_of([&] { (void)model_.squared_error(device_, data_); }), (Ranges{{"loss", 1}}));
  EXPECT_EQ(ranges_of([&] { (void)Scaler::fit(device_, data_, Scaling::standard); }),
            (Ranges{{"fit scaler", 1}}));
  EXPECT_EQ(ranges_of([&] { (void)model_.scaler.transform(device_, data_); }),
            (Ranges{{"scale", 1}}));
}

TEST_F(RangesTest, OfTsne) {
  TsneOptions options;
  options.iterations = 12;
  options.perplexity = 5;
  EXPECT_EQ(ranges_of([&] { (void)tsne(device_, matrix(80, 4), options); }),
            (Ranges{{"tsne", 1},
                    {"tsne/neighbours", 1},
                    {"tsne/affinities", 1},
                    {"tsne/pca fit", 1},
                    {"tsne/pca transform", 1},
                    {"tsne/optimise", 1},
                    {"tsne/optimise/interval", 1},
                    {"tsne/kl divergence", 1}}));
  options.progress = [](const TsneProgress&) { return false; };
  const Ranges interrupted =
      ranges_of([&] { EXPECT_THROW((void)tsne(device_, matrix(80, 4), options), Interrupted); });
  EXPECT_EQ(interrupted.count("tsne/kl divergence"), 0u);
}

TEST_F(RangesTest, OfPcaAndScores) {
  const Matrix x = matrix(60, 4);
  const Matrix map = matrix(60, 2);
  std::vector<std::int32_t> labels(60);
  for (std::size_t i = 0; i < labels.size(); ++i)
    labels[i] = static_cast<std::int32_t>(i % 3);
  Pca pca;
  EXPECT_EQ(ranges_of([&] { pca = Pca::fit(device_, x, 2); }), (Ranges{{"pca fit", 1}}));
  Matrix codes;
  EXPECT_EQ(ranges_of([&] { codes = pca.transform(device_, x); }), (Ranges{{"pca transform", 1}}));
  EXPECT_EQ(ranges_of([&] { (void)pca.inverse_transform(device_, codes); }),
            (Ranges{{"pca inverse transform", 1}}));
  EXPECT_EQ(ranges_of([&] { (void)one_nn_split_accuracy(device_, x, labels); }),
            (Ranges{{"1-nn", 1}}));
  EXPECT_EQ(ranges_of([&] { (void)linear_probe_split_accuracy(device_, x, labels); }),
            (Ranges{{"linear probe", 1}}));
  EXPECT_EQ(ranges_of([&] { (void)trustworthiness(device_, x, map, 5); }),
            (Ranges{{"trustworthiness", 1}}));
  EXPECT_EQ(ranges_of([&] { (void)neighbour_preservation(device_, x, map, 5); }),
            (Ranges{{"neighbour preservation", 1}}));
  EXPECT_EQ(ranges_of([&] { (void)map_figures(device_, x, map); }), (Ranges{{"map figures", 1}}));
  EXPECT_EQ(ranges_of([&] { (void)silhouette(device_, x, labels); }), (Ranges{{"silhouette", 1}}));
  EXPECT_EQ(
      ranges_of([&] { (void)tsne_kl_divergence(device_, x, map, 5); }),
      (Ranges{
          {"kl divergence", 1}, {"kl divergence/neighbours", 1}, {"kl divergence/affinities", 1}}));
}

}  // namespace
}  // namespace hourglass
