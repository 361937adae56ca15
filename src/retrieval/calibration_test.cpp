#include "nearlite/retrieval/calibration.h"

#include <gtest/gtest.h>

#include <vector>

namespace nearlite {
namespace {

TEST(Calibration, IsTheDistanceOfWhatWasSaidFromWhatWasSo) {
  // Two bins: 0.8 said, 3 of 4 were so: 0.05 off. 0.1 said, 1 of 1 was so: 0.9 off.
  const std::vector<Claim> claims = {
      {0.8, true}, {0.8, true}, {0.8, true}, {0.8, false}, {0.1, true}};
  const Calibration calibration = calibration_of(claims);
  EXPECT_EQ(calibration.claims, 5U);
  EXPECT_NEAR(calibration.error, 0.8 * 0.05 + 0.2 * 0.9, 1e-12);
  EXPECT_EQ(calibration.bins[8].claims, 4U);
  EXPECT_NEAR(calibration.bins[8].confidence, 0.8, 1e-12);
  EXPECT_NEAR(calibration.bins[8].relevant, 0.75, 1e-12);
}

TEST(Calibration, TakesTheEndsAndNothing) {
  EXPECT_EQ(calibration_of({}).error, 0);
  const std::vector<Claim> ends = {{0, false}, {1, true}};
  EXPECT_EQ(calibration_of(ends).error, 0);
  EXPECT_EQ(calibration_of(ends).bins[9].claims, 1U);
}

TEST(CalibrationPlot, DrawsEverySetAndEscapesItsName) {
  const std::vector<Claim> claims = {{0.8, true}, {0.2, false}};
  const std::vector<std::pair<std::string, Calibration>> sets = {
      {"a<b & c", calibration_of(claims)}, {"second", {}}};
  const std::string svg = calibration_plot(sets);
  EXPECT_TRUE(svg.starts_with("<svg "));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_NE(svg.find("a&lt;b &amp; c: error 0.200, 2 hits"), std::string::npos);
  EXPECT_NE(svg.find("second: error 0.000, 0 hits"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

}  // namespace
}  // namespace nearlite
