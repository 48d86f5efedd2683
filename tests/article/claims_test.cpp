// The rules that answer the claims, on figures made up for each outcome.
#include "host/article/claims.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace hourglass::article {
namespace {

using Runs = std::vector<Run>;  // inside a test `Run` is testing::Test's

Run run(std::string experiment, std::uint64_t seed, Figures figures, std::string scaling = "unit") {
  Run made;
  made.experiment = std::move(experiment);
  made.scaling = std::move(scaling);
  made.seed = seed;
  made.figures = std::move(figures);
  return made;
}

const Claim& claim_of(const std::vector<Claim>& claims, std::string_view id) {
  const auto found =
      std::find_if(claims.begin(), claims.end(), [&](const Claim& c) { return c.id == id; });
  if (found == claims.end()) throw std::out_of_range(std::string(id));
  return *found;
}

/// The only answer to a claim.
ClaimAnswer answer_to(const Runs& runs, std::string_view id) {
  const std::vector<Claim> claims = judge_claims(runs);
  const Claim& claim = claim_of(claims, id);
  EXPECT_EQ(claim.answers.size(), 1u) << id;
  return claim.answers.at(0);
}

Runs deep_and_shallow(const std::vector<double>& deep, const std::vector<double>& shallow) {
  Runs runs;
  for (std::size_t i = 0; i < deep.size(); ++i) {
    const auto figures = [](double level) {
      return Figures{
          {"code_one_nn", level}, {"code_linear_probe", level}, {"code_separation", 2 * level}};
    };
    runs.push_back(run("deep-2d", i, figures(deep[i])));
    runs.push_back(run("shallow-2d", i, figures(shallow[i])));
  }
  return runs;
}

TEST(Claims, AComparisonHoldsInEverySeedInNoneOrInSome) {
  ClaimAnswer answer = answer_to(deep_and_shallow({0.5, 0.6, 0.55}, {0.3, 0.3, 0.4}), "deeper");
  EXPECT_EQ(answer.verdict, Verdict::holds);
  EXPECT_EQ(answer.answer, "holds");
  EXPECT_EQ(answer.agreeing, 3u);
  EXPECT_EQ(answer.seeds, 3u);
  EXPECT_EQ(answer.subject, "deep-2d against shallow-2d");

  answer = answer_to(deep_and_shallow({0.2, 0.1}, {0.3, 0.3}), "deeper");
  EXPECT_EQ(answer.verdict, Verdict::does_not_hold);

  answer = answer_to(deep_and_shallow({0.5, 0.1, 0.5}, {0.3, 0.3, 0.3}), "deeper");
  EXPECT_EQ(answer.verdict, Verdict::depends_on_seed);
  EXPECT_EQ(answer.agreeing, 2u);
  // Equal is not better.
  EXPECT_EQ(answer_to(deep_and_shallow({0.3}, {0.3}), "deeper").verdict, Verdict::does_not_hold);
}

TEST(Claims, EveryFigureOfAComparisonHasToAgree) {
  Runs runs = deep_and_shallow({0.5}, {0.3});
  runs[0].figures["code_separation"] = 0.1;
  EXPECT_EQ(answer_to(runs, "deeper").verdict, Verdict::does_not_hold);
}

TEST(Claims, SeedsArePairedByTheirNumber) {
  // The same figures in another order: seed 1 of deep is below seed 1 of shallow.
  Runs runs = deep_and_shallow({0.5, 0.35}, {0.4, 0.3});
  runs[0].seed = 1;
  runs[2].seed = 0;
  const ClaimAnswer answer = answer_to(runs, "deeper");
  EXPECT_EQ(answer.verdict, Verdict::depends_on_seed);
  EXPECT_EQ(answer.agreeing, 1u);
}

TEST(Claims, EvidenceHasMeanAndSpreadOfBothSides) {
  const ClaimAnswer answer = answer_to(deep_and_shallow({0.5, 0.7}, {0.3, 0.3}), "deeper");
  ASSERT_EQ(answer.evidence.size(), 6u);
  EXPECT_EQ(answer.evidence[0].figure, "code_one_nn");
  EXPECT_EQ(answer.evidence[0].experiment, "deep-2d");
  EXPECT_DOUBLE_EQ(answer.evidence[0].value.mean, 0.6);
  EXPECT_NEAR(answer.evidence[0].value.deviation, std::sqrt(0.02), 1e-12);
  EXPECT_EQ(answer.evidence[1].experiment, "shallow-2d");
  EXPECT_DOUBLE_EQ(answer.evidence[1].value.deviation, 0.0);
}

TEST(Claims, MissingAndUndefinedFiguresAreNotMeasured) {
  Runs runs = deep_and_shallow({0.5, 0.5}, {0.3, 0.3});
  runs[0].figures.erase("code_one_nn");
  runs[3].figures["code_linear_probe"] = std::nan("");
  const ClaimAnswer answer = answer_to(runs, "deeper");
  EXPECT_EQ(answer.verdict, Verdict::not_measured);
  EXPECT_EQ(answer.seeds, 0u);
  EXPECT_EQ(answer.answer, "not measured");
  // Without the other side there is no answer at all.
  EXPECT_TRUE(claim_of(judge_claims(Runs{runs[2]}), "deeper").answers.empty());
}

TEST(Claims, OneAndZeroAreSeparatedFromTheStatedBound) {
  EXPECT_EQ(answer_to({run("deep-2d", 0, {{"code_one_zero", 0.99}})}, "one-zero").verdict,
            Verdict::holds);
  EXPECT_EQ(answer_to({run("deep-2d", 0, {{"code_one_zero", 0.9899}})}, "one-zero").verdict,
            Verdict::does_not_hold);
}

TEST(Claims, ASingleNegativeActivationIsANegativeAxis) {
  EXPECT_EQ(answer_to({run("deep-2d", 0, {{"negative_share", 0.0}})}, "no-negative-axis").verdict,
            Verdict::holds);
  EXPECT_EQ(answer_to({run("deep-2d", 0, {{"negative_share", 1e-9}})}, "no-negative-axis").verdict,
            Verdict::does_not_hold);
}

TEST(Claims, AlikeTakesAccuracySilhouetteAndKl) {
  const Figures simple = {{"map_one_nn", 0.92}, {"map_silhouette", 0.30}, {"map_kl", 2.0}};
  const auto verdict = [&](double accuracy, double silhouette, double kl) {
    const Figures sparse = {
        {"map_one_nn", accuracy}, {"map_silhouette", silhouette}, {"map_kl", kl}};
    return answer_to({run("simple", 0, simple), run("sparse-l1", 0, sparse)}, "alike").verdict;
  };
  EXPECT_EQ(verdict(0.905, 0.34, 1.92), Verdict::holds);
  EXPECT_EQ(verdict(0.935, 0.26, 2.08), Verdict::holds);
  EXPECT_EQ(verdict(0.89, 0.30, 2.0), Verdict::does_not_hold);
  EXPECT_EQ(verdict(0.95, 0.30, 2.0), Verdict::does_not_hold);
  EXPECT_EQ(verdict(0.92, 0.36, 2.0), Verdict::does_not_hold);
  EXPECT_EQ(verdict(0.92, 0.30, 1.8), Verdict::does_not_hold);
  EXPECT_EQ(verdict(0.92, 0.30, std::nan("")), Verdict::not_measured);
}

TEST(Claims, MapsAreComparedInTheirStatedDirections) {
  const Figures simple = {{"map_spread", 0.4},
                          {"map_gap", -0.2},
                          {"map_distance_2_3", 0.7},
                          {"map_distance_2_8", 0.7},
                          {"map_spread_8", 0.45}};
  const Figures sparse = {{"map_spread", 0.3},
                          {"map_gap", -0.1},
                          {"map_distance_2_3", 0.8},
                          {"map_distance_2_8", 0.6},
                          {"map_spread_8", 0.5}};
  const Runs runs = {run("simple", 0, simple), run("sparse-kl", 0, sparse)};
  EXPECT_EQ(answer_to(runs, "compact").verdict, Verdict::holds);
  EXPECT_EQ(answer_to(runs, "gaps").verdict, Verdict::holds);
  EXPECT_EQ(answer_to(runs, "two").verdict, Verdict::does_not_hold);  // further from 3, not from 8
  EXPECT_EQ(answer_to(runs, "eight").verdict, Verdict::does_not_hold);
}

TEST(Claims, EachScalingAndEachSparseCodeGetsAnAnswer) {
  Runs runs;
  for (const char* scaling : {"unit", "standard"}) {
    runs.push_back(run("simple", 0, {{"map_spread", 0.4}}, scaling));
    runs.push_back(run("sparse-l1", 0, {{"map_spread", 0.3}}, scaling));
    runs.push_back(run("sparse-kl", 0, {{"map_spread", 0.5}}, scaling));
  }
  const std::vector<Claim> claims = judge_claims(runs);
  const Claim& compact = claim_of(claims, "compact");
  ASSERT_EQ(compact.answers.size(), 4u);
  EXPECT_EQ(compact.answers[0].scaling, "unit");
  EXPECT_EQ(compact.answers[0].verdict, Verdict::holds);
  EXPECT_EQ(compact.answers[1].subject, "sparse-kl against simple");
  EXPECT_EQ(compact.answers[1].verdict, Verdict::does_not_hold);
  EXPECT_EQ(compact.answers[3].scaling, "standard");
}

TEST(Claims, TheBetterCodeHasMoreFiguresInEverySeed) {
  const Figures simple = {{"test_reconstruction", 0.09}, {"code_one_nn_leave_one_out", 0.95},
                          {"code_linear_probe", 0.89},   {"map_one_nn", 0.92},
                          {"map_trustworthiness", 0.99}, {"map_silhouette", 0.35}};
  Figures sparse = {{"test_reconstruction", 0.10}, {"code_one_nn_leave_one_out", 0.96},
                    {"code_linear_probe", 0.90},   {"map_one_nn", 0.93},
                    {"map_trustworthiness", 0.98}, {"map_silhouette", 0.40}};
  Runs runs = {run("simple", 0, simple), run("sparse-l1", 0, sparse)};
  EXPECT_EQ(answer_to(runs, "better").answer, "sparse-l1, by 4 of 6 figures");
  EXPECT_EQ(answer_to(runs, "better").verdict, Verdict::holds);

  // A second seed that disagrees takes a figure from both: two for sparse-l1, two for simple.
  sparse["code_linear_probe"] = 0.88;
  sparse["map_one_nn"] = 0.91;
  runs.push_back(run("simple", 1, simple));
  runs.push_back(run("sparse-l1", 1, sparse));
  EXPECT_EQ(answer_to(runs, "better").answer, "neither, 2 of 6 figures each");

  runs[3].figures["map_silhouette"] = 0.1;
  EXPECT_EQ(answer_to(runs, "better").answer, "simple, by 2 of 6 figures");
  EXPECT_EQ(answer_to(runs, "better").verdict, Verdict::does_not_hold);
}

TEST(Claims, EveryClaimStatesARuleAndKnownFigures) {
  const std::vector<Claim> claims = judge_claims({});
  EXPECT_EQ(claims.size(), 9u);
  for (const Claim& claim : claims) {
    EXPECT_FALSE(claim.statement.empty());
    EXPECT_FALSE(claim.rule.empty());
    EXPECT_TRUE(claim.answers.empty());
  }
}

TEST(Statistics, MeanDeviationAndText) {
  EXPECT_EQ(statistic(std::vector<double>{}).count, 0u);
  EXPECT_TRUE(std::isnan(statistic(std::vector<double>{}).mean));
  const Statistic one = statistic(std::vector<double>{0.5});
  EXPECT_DOUBLE_EQ(one.mean, 0.5);
  EXPECT_TRUE(std::isnan(one.deviation));
  const Statistic three = statistic(std::vector<double>{0.91, 0.92, 0.93});
  EXPECT_DOUBLE_EQ(three.mean, 0.92);
  EXPECT_NEAR(three.deviation, 0.01, 1e-12);
  EXPECT_EQ(format_statistic(three, figure_info("map_one_nn")), "92.0 ± 1.0 %");
  EXPECT_EQ(format_statistic(one, figure_info("map_kl")), "0.500");
  EXPECT_EQ(format_statistic({}, figure_info("map_kl")), "-");
  EXPECT_THROW((void)figure_info("speed"), std::out_of_range);
}

}  // namespace
}  // namespace hourglass::article
