// The fast paths against the plain ones: kernels of every instruction set give the same bits, and a
// scan of the 8-bit codes gives the neighbors and scores of the plain fp32 scan.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>

#include "code_scan.h"
#include "collector.h"
#include "dot.h"
#include "nearlite/base/cpu.h"
#include "nearlite/index/flat_index.h"
#include "nearlite/index/segment.h"
#include "test_vectors.h"

namespace nearlite {
namespace {

using test::Rows;
using testing::ElementsAreArray;

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(DotRows, GivesTheSameBitsOnEveryProcessor) {
  for (const std::size_t dim : {1U, 2U, 3U, 15U, 16U, 17U, 31U, 48U, 100U, 384U, 385U}) {
    for (const std::size_t extra : {0U, 3U}) {  // Annoy nodes stand dim + 3 floats apart
      const std::size_t stride = dim + extra;
      const std::size_t count = 7;
      const Rows rows = test::gaussian_rows(count + 1, stride, 5);
      const float* query = rows.row(count).data();
      std::vector<float> scalar(count);
      dot_rows_scalar(query, rows.values.data(), count, stride, dim, scalar.data());
      std::vector<float> fast(count);
      if (cpu_features().avx2) {
        dot_rows_avx2(query, rows.values.data(), count, stride, dim, fast.data());
        EXPECT_TRUE(same_bits(scalar, fast)) << "avx2, " << dim;
      }
      if (cpu_features().avx512) {
        dot_rows_avx512(query, rows.values.data(), count, stride, dim, fast.data());
        EXPECT_TRUE(same_bits(scalar, fast)) << "avx512, " << dim;
      }
    }
  }
}

std::vector<std::uint8_t> random_bytes(std::size_t count, std::mt19937& random) {
  std::vector<std::uint8_t> bytes(count);
  for (std::uint8_t& byte : bytes)
    byte = static_cast<std::uint8_t>(random() % 2 == 0 ? 255 : random() % 256);
  return bytes;
}

/// Words of four signed bytes from -127 to 127, many of them at the ends: the sums that come
/// nearest to overflow.
std::vector<std::int32_t> random_plane(std::size_t words, std::mt19937& random) {
  std::vector<std::int8_t> bytes(4 * words);
  for (std::size_t j = 0; j < bytes.size(); ++j) {
    const int any = static_cast<int>(random() % 255) - 127;
    bytes[j] = static_cast<std::int8_t>(j / 97 % 2 == 0 ? (j % 5 == 0 ? -127 : 127) : any);
  }
  std::vector<std::int32_t> plane(words);
  std::memcpy(plane.data(), bytes.data(), bytes.size());
  return plane;
}

TEST(HighProducts, AreEqualOnEveryProcessor) {
  std::mt19937 random(1);
  for (const std::size_t pairs : {1U, 2U, 3U, 4U, 5U, 12U, 48U, 129U}) {
    const std::size_t blocks = 3;
    const auto codes = random_bytes(blocks * pairs * 64, random);
    const auto plane = random_plane(2 * pairs, random);
    const auto run = [&](HighProducts products) {
      std::vector<std::int32_t> out(blocks * 16);
      products(codes.data(), blocks, pairs, plane.data(), out.data());
      return out;
    };
    const auto expected = run(high_products_scalar);
    if (cpu_features().avx2) {
      EXPECT_EQ(run(high_products_avx2), expected) << pairs;
    }
    if (cpu_features().avx512 && cpu_features().avx512_vnni) {
      EXPECT_EQ(run(high_products_vnni), expected) << pairs;
    }
  }
}

TEST(HighProducts, AreTriedBeforeTheyAreChosen) {
  if (cpu_features().avx2) {
    EXPECT_TRUE(gives_the_plain_products(high_products_avx2, high_products_of_four_avx2));
    EXPECT_NE(high_products(), high_products_scalar);
  }
  const auto wrong = [](const std::uint8_t* high, std::size_t num_blocks, std::size_t pairs,
                        const std::int32_t* plane, std::int32_t* products) noexcept {
    high_products_scalar(high, num_blocks, pairs, plane, products);
    products[num_blocks * kCodeBlock - 1] += 1;
  };
  if (cpu_features().avx2) {
    EXPECT_FALSE(gives_the_plain_products(wrong, high_products_of_four_avx2));
  }
}

TEST(HighProducts, OfFourQueriesAreThoseOfEachAlone) {
  std::mt19937 random(2);
  for (const std::size_t blocks : {1U, 2U, 5U, 16U}) {
    const std::size_t pairs = 23;
    const auto codes = random_bytes(blocks * pairs * 64, random);
    const auto planes = random_plane(2 * pairs * 4, random);
    const std::size_t stride = std::size_t{16} * 16;
    const auto expect_each = [&](HighProductsOfFour of_four) {
      std::vector<std::int32_t> together(4 * stride);
      of_four(codes.data(), blocks, pairs, planes.data(), together.data(), stride);
      for (std::size_t query = 0; query < 4; ++query) {
        std::vector<std::int32_t> plane(2 * pairs);
        for (std::size_t word = 0; word < plane.size(); ++word)
          plane[word] = planes[word * 4 + query];
        std::vector<std::int32_t> alone(blocks * 16);
        high_products_scalar(codes.data(), blocks, pairs, plane.data(), alone.data());
        for (std::size_t i = 0; i < alone.size(); ++i)
          EXPECT_EQ(together[query * stride + i], alone[i]);
      }
    };
    if (cpu_features().avx2) expect_each(high_products_of_four_avx2);
    if (cpu_features().avx512 && cpu_features().avx512_vnni)
      expect_each(high_products_of_four_vnni);
  }
}

TEST(LowProduct, IsEqualOnEveryProcessor) {
  std::mt19937 random(4);
  for (const std::size_t pairs : {1U, 7U, 8U, 9U, 16U, 48U, 131U}) {
    const auto low = random_bytes(4 * pairs, random);
    const auto first = random_plane((pairs + 7) / 8 * 8, random);
    const auto second = random_plane((pairs + 7) / 8 * 8, random);
    const std::int32_t expected =
        low_product_scalar(low.data(), pairs, first.data(), second.data());
    if (cpu_features().avx2) {
      EXPECT_EQ(low_product_avx2(low.data(), pairs, first.data(), second.data()), expected)
          << pairs;
    }
  }
}

TEST(BoundRows, AreEqualOnEveryProcessor) {
  std::mt19937 random(3);
  const auto some = [&](double least, double most) {
    return static_cast<float>(std::uniform_real_distribution<>(least, most)(random));
  };
  for (const std::size_t count : {1U, 7U, 8U, 16U, 37U, 64U, 71U, 256U}) {
    std::vector<std::int32_t> products(count);
    for (std::int32_t& product : products) product = static_cast<std::int32_t>(random() % 400'000);
    std::vector<float> arrays(4 * count);
    for (float& value : arrays) value = some(0, 1);
    const HighBounds bounds{.factor = some(0, 1e-3),
                            .shift = some(-1, 1),
                            .offset = 190'000,
                            .mean_product = some(-1, 1),
                            .error_norm = some(0, 1e-3),
                            .norm = 1,
                            .along = some(-1, 1),
                            .across = some(0, 1),
                            .slack = 4e-6F};
    const RowBounds rows{.scales = arrays.data(),
                         .high_norms = arrays.data() + count,
                         .high_residuals = arrays.data() + 2 * count,
                         .high_along = arrays.data() + 3 * count};
    const auto run = [&](BoundRows bound) {
      std::vector<float> upper(count);
      std::vector<std::uint64_t> reaching((count + 63) / 64, ~std::uint64_t{0});
      bound(products.data(), rows, count, bounds, 0.7F, upper.data(), reaching.data());
      for (std::size_t i = 0; i < 64 * reaching.size(); ++i)
        EXPECT_EQ(reaching[i / 64] >> (i % 64) & 1, i < count && upper[i] >= 0.7F ? 1U : 0U) << i;
      return upper;
    };
    const auto expected = run(bound_rows_scalar);
    if (cpu_features().avx2) {
      EXPECT_EQ(run(bound_rows_avx2), expected) << count;
    }
    if (cpu_features().avx512 && cpu_features().avx512_vnni) {
      EXPECT_EQ(run(bound_rows_avx512), expected) << count;
    }
  }
}

/// Code of one dimension of one row.
int code_of(const CodeTable& table, std::size_t row, std::size_t j, std::size_t pairs) {
  const std::size_t pair = j / kCodePair;
  const std::size_t at = j % 4;
  const int shift = j % kCodePair < 4 ? 0 : 4;
  const std::size_t block = (row / kCodeBlock * pairs + pair) * kCodeBlock;
  const std::uint8_t high = table.high[(block + row % kCodeBlock) * 4 + at];
  const std::uint8_t low = table.low[(row * pairs + pair) * 4 + at];
  return ((high >> shift & 15) << 4 | (low >> shift & 15)) - 128;
}

TEST(Codes, OfARowAreItsRoundedValues) {
  for (const std::size_t dim : {1U, 3U, 4U, 5U, 8U, 13U, 70U}) {
    const Rows rows = test::gaussian_rows(37, dim, 6);
    std::vector<float> norms;
    for (std::size_t i = 0; i < rows.size(); ++i) norms.push_back(vector_norm(rows.row(i)));
    const EncodedRows encoded = encode_rows(rows.view(), norms);
    const CodeTable table = encoded.table();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t j = 0; j < dim; ++j) {
        const float value = rows.row(i)[j] / norms[i] - table.mean[j];
        const int code = code_of(table, i, j, code_pairs(dim));
        EXPECT_NEAR(static_cast<float>(code) * table.scales[i], value,
                    0.5001F * table.scales[i] + 1e-6F);
      }
    }
  }
}

/// Four dimensions hold nearly all of the length: neighbors lie closer together than the codes can
/// tell.
Rows concentrated_rows(std::size_t count, std::size_t dim) {
  Rows rows = test::gaussian_rows(count, dim, 11);
  for (std::size_t i = 0; i < rows.values.size(); ++i)
    rows.values[i] *= i % dim < 4 ? 20.0F : 0.05F;
  return rows;
}

/// Few different vectors, each many times, some scaled or nearly equal.
Rows repeated_rows(std::size_t count, std::size_t dim) {
  const Rows some = test::clustered_rows(40, dim, 12);
  std::mt19937 random(13);
  std::vector<float> values;
  for (std::size_t i = 0; i < count; ++i) {
    const auto row = some.row(random() % some.size());
    const float scale = random() % 3 == 0 ? 2.0F : 1.0F;
    for (const float value : row) values.push_back(scale * value);
    if (random() % 10 == 0) values.back() = std::nextafter(values.back(), 10.0F);
  }
  return test::rows_of(dim, std::move(values));
}

/// Lengths from 1e-42 (where floats lose digits) to 1e18, and zero vectors.
Rows rows_of_all_lengths(std::size_t count, std::size_t dim) {
  Rows rows = test::clustered_rows(count, dim, 14);
  for (std::size_t i = 0; i < count; ++i) {
    const float scale = i % 50 == 0 ? 0.0F : std::pow(10.0F, static_cast<float>(i % 61) - 42.0F);
    for (std::size_t j = 0; j < dim; ++j) rows.values[i * dim + j] *= scale;
  }
  return rows;
}

struct Shape {
  const char* name;
  Rows (*make)(std::size_t count, std::size_t dim);
};

class CodeScan : public testing::TestWithParam<Shape> {};

TEST_P(CodeScan, EqualsThePlainScan) {
  const test::TemporaryFolder folder;
  for (const auto& [count, dim] :
       {std::pair<std::size_t, std::size_t>{9000, 64}, {3001, 99}, {2000, 384}}) {
    const Rows rows = GetParam().make(count, dim);
    write_segment(folder / "a.vecs", rows.view(), {.dim = dim});
    const auto segment = Segment::open(folder / "a.vecs");
    const FlatIndex flat(rows.view());
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    for (int query_index = 0; query_index < 6; ++query_index) {
      std::vector<float> query(dim);
      const auto near = rows.row(random() % count);
      const float length = std::max(vector_norm(near), 1e-30F);
      for (std::size_t j = 0; j < dim; ++j) {
        query[j] = near[j] / length + (query_index % 3 == 0 ? 0.0F : 0.02F * normal(random)) +
                   (j == 0 && vector_norm(near) == 0 ? 1.0F : 0.0F);
      }
      for (const std::size_t k : {1U, 10U, 100U, 1000U}) {
        const SearchParams params{.k = k};
        const SearchResult plain = flat.search(query, params);
        const SearchResult fast = segment->search(query, params);
        ASSERT_THAT(fast.neighbors, ElementsAreArray(plain.neighbors))
            << count << " x " << dim << ", k " << k;
      }
    }
  }
}

TEST_P(CodeScan, EqualsThePlainScanUnderAFilter) {
  const test::TemporaryFolder folder;
  const Rows rows = GetParam().make(3000, 64);
  write_segment(folder / "a.vecs", rows.view(), {.dim = 64});
  const auto segment = Segment::open(folder / "a.vecs");
  const SearchParams params{
      .k = 20, .filter = [](VectorId id) { return static_cast<std::int64_t>(id) % 70 == 0; }};
  for (std::size_t i = 1; i < 10; ++i) {
    EXPECT_THAT(segment->search(rows.row(i), params).neighbors,
                ElementsAreArray(exact_search(rows.view(), rows.row(i), params).neighbors));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, CodeScan,
    testing::Values(Shape{"Clustered", [](std::size_t n,
                                          std::size_t d) { return test::clustered_rows(n, d, 1); }},
                    Shape{"Gaussian", [](std::size_t n,
                                         std::size_t d) { return test::gaussian_rows(n, d, 1); }},
                    Shape{"Repeated", repeated_rows}, Shape{"Concentrated", concentrated_rows},
                    Shape{"AllLengths", rows_of_all_lengths}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(CodeScan, ScoresFewRowsAgain) {
  const test::TemporaryFolder folder;
  const Rows rows = test::clustered_rows(20'000, 128, 1);
  write_segment(folder / "a.vecs", rows.view(), {.dim = 128});
  const auto segment = Segment::open(folder / "a.vecs");
  std::size_t scored = 0;
  for (std::size_t i = 0; i < 20; ++i)
    scored += segment->search(rows.row(i * 700), {.k = 10}).num_scored;
  EXPECT_LT(scored / 20, 400U);
}

TEST(CodeScan, LooksAtTheLowHalvesOfFewRows) {
  const std::size_t dim = 128;
  const Rows rows = test::clustered_rows(20'000, dim, 1);
  std::vector<float> norms;
  for (std::size_t i = 0; i < rows.size(); ++i) norms.push_back(vector_norm(rows.row(i)));
  const EncodedRows encoded = encode_rows(rows.view(), norms);
  const SearchParams params{.k = 10, .recall = 1.0};
  std::size_t refined = 0;
  std::size_t reaching = 0;  // rows that no scan of high halves could rule out
  for (std::size_t query = 0; query < 20; ++query) {
    const std::vector<float> unit = unit_query(rows.row(query * 700), dim, params);
    Collector collector(params);
    const CodeTable table = encoded.table();
    bool is_first = true;
    const nearlite::CodeScan::Rows told{
        .touch = [](std::size_t) {},
        .score =
            [&](std::size_t row) {
              if (is_first)
                collector.offer_accepted(similarity_of(unit, rows.row(row).data(), norms[row]),
                                         rows.ids[row]);
            },
        .ahead = [](std::size_t) {}};
    const auto scan_all = [&] {
      nearlite::CodeScan scan(table, unit, norms, rows.ids, collector, told);
      for (std::size_t at = 0; at < rows.size(); at += nearlite::CodeScan::kMostRows)
        scan.scan(at, std::min(nearlite::CodeScan::kMostRows, rows.size() - at));
      scan.finish();
      return scan.num_refined();
    };
    refined += scan_all();
    is_first = false;
    reaching += scan_all();  // with the similarity of the tenth known from the start
  }
  EXPECT_LT(refined, reaching + reaching / 2 + 20 * 64);
}

}  // namespace
}  // namespace nearlite
