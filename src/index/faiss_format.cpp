#include "faiss_format.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_set>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr std::size_t kMaxLevels = 64;  // of an HNSW graph: one in 32 rows reaches the next
constexpr std::size_t kMaxDegree = 4096;
constexpr std::size_t kMaxRows = INT32_MAX;

/// Reads a FAISS file from the start to the end. Lists stand there as a count of 8 bytes and
/// values; they are only as aligned as chance has it, so values are copied out.
class Parser {
 public:
  Parser(const std::filesystem::path& file, std::span<const std::byte> bytes)
      : file_(file), bytes_(bytes) {}

  FaissLayout parse() {
    if (bytes_.empty()) fail("index file is empty");
    FaissLayout layout;
    const std::string_view mark = fourcc();
    const bool has_ids = mark == "IxMp" || mark == "IxM2";
    if (has_ids) {
      read_header();
      const Header outer = header_;
      const std::size_t start = at_;
      parse_index(fourcc(), layout);
      layout.index = bytes_.subspan(start, at_ - start);
      if (outer.dim != layout.dim || outer.rows != layout.rows)
        fail("FAISS id map of another shape than its index");
      read_ids(layout);
    } else {
      parse_index(mark, layout);
      layout.index = bytes_.first(at_);
    }
    if (at_ != bytes_.size()) {
      fail("FAISS file has " + std::to_string(bytes_.size()) + " bytes, its index ends at " +
           std::to_string(at_));
    }
    return layout;
  }

 private:
  struct Header {
    std::size_t dim = 0;
    std::size_t rows = 0;
  };

  [[noreturn]] void fail(const std::string& what) const {
    throw CorruptData(file_.string() + ": " + what,
                      "the file is derived: delete it and it is rebuilt from the sidecar");
  }

  std::span<const std::byte> take(std::size_t size) {
    if (size > bytes_.size() - at_)
      fail("FAISS file is cut off: " + std::to_string(bytes_.size()) + " bytes");
    const auto taken = bytes_.subspan(at_, size);
    at_ += size;
    return taken;
  }
  template <typename T>
  T read() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view fourcc() {
    const auto mark = take(4);
    return {reinterpret_cast<const char*>(mark.data()), mark.size()};
  }
  /// The bytes of a list that must have `count` values of T.
  template <typename T>
  std::span<const std::byte> list(const char* name, std::size_t count) {
    const auto found = read<std::uint64_t>();
    if (found != count) {
      fail("FAISS file has " + std::to_string(found) + " " + name + ", expected " +
           std::to_string(count));
    }
    if (count > bytes_.size() / sizeof(T))
      fail("FAISS file has more " + std::string(name) + " than bytes");
    return take(count * sizeof(T));
  }
  template <typename T>
  static T value_of(std::span<const std::byte> list, std::size_t i) {
    T value;
    std::memcpy(&value, list.data() + i * sizeof(T), sizeof(T));
    return value;
  }

  /// dim int32, rows int64, two int64 of no meaning, is_trained byte, metric int32.
  void read_header() {
    const auto dim = read<std::int32_t>();
    const auto rows = read<std::int64_t>();
    read<std::int64_t>();
    read<std::int64_t>();
    const auto is_trained = read<std::uint8_t>();
    const auto metric = read<std::int32_t>();
    if (dim <= 0 || dim > 65'536)
      fail("FAISS file of " + std::to_string(dim) + " dimensions, 1 to 65536 are possible");
    if (rows < 0 || static_cast<std::uint64_t>(rows) > kMaxRows ||
        static_cast<std::uint64_t>(rows) > bytes_.size() / sizeof(float)) {
      fail("FAISS file of " + std::to_string(rows) + " vectors in " +
           std::to_string(bytes_.size()) + " bytes");
    }
    if (is_trained != 1 || metric != 0) fail("FAISS file is not of the inner-product metric");
    header_ = {static_cast<std::size_t>(dim), static_cast<std::size_t>(rows)};
  }

  void parse_index(std::string_view mark, FaissLayout& layout) {
    if (mark == "IxFI") {
      layout.kind = FaissLayout::Kind::kFlat;
      parse_flat();
    } else if (mark == "IHNf") {
      layout.kind = FaissLayout::Kind::kHnsw;
      parse_hnsw();
    } else {
      fail(
          "not a FAISS inner-product index that is known here (IndexFlatIP, IndexHNSWFlat, with or "
          "without an id map)");
    }
    layout.dim = header_.dim;
    layout.rows = header_.rows;
  }

  void parse_flat() {
    read_header();
    const auto values = list<float>("values", header_.rows * header_.dim);
    for (std::size_t i = 0; i < values.size() / sizeof(float); ++i) {
      if (!std::isfinite(value_of<float>(values, i)))
        fail("vector " + std::to_string(i / header_.dim) + " of the FAISS file is not finite");
    }
  }

  void parse_hnsw() {
    read_header();
    const Header graph = header_;
    parse_graph();
    if (fourcc() != "IxFI") fail("FAISS graph over something else than flat inner-product vectors");
    parse_flat();
    if (header_.dim != graph.dim || header_.rows != graph.rows)
      fail("FAISS graph of another shape than its vectors");
  }

  void parse_graph() {
    const std::size_t rows = header_.rows;
    list<double>("level probabilities", count_ahead(kMaxLevels, "levels"));
    read_places();
    const auto levels = list<std::int32_t>("levels of rows", rows);
    for (std::size_t i = 0; i < rows; ++i) {
      const auto level = value_of<std::int32_t>(levels, i);
      if (level < 1 || static_cast<std::size_t>(level) >= places_.size())
        fail("row " + std::to_string(i) + " of the FAISS graph is on level " +
             std::to_string(level));
    }
    const auto offsets = list<std::uint64_t>("offsets", rows + 1);
    std::uint64_t expected = 0;
    for (std::size_t i = 0; i <= rows; ++i) {
      if (value_of<std::uint64_t>(offsets, i) != expected)
        fail("links of row " + std::to_string(i) +
             " of the FAISS graph do not stand where they must");
      if (i < rows) expected += places_[level_of(levels, i)];
    }
    check_links(levels, list<std::int32_t>("links", expected));
    check_entry(levels);
  }

  /// A count that the next list may have.
  std::size_t count_ahead(std::size_t most, const char* name) {
    const auto count = read<std::uint64_t>();
    if (count > most) fail("FAISS graph has " + std::to_string(count) + " " + name);
    at_ -= sizeof count;
    return static_cast<std::size_t>(count);
  }

  /// How many links a row has below each level: ascending from 0.
  void read_places() {
    const std::size_t count = count_ahead(kMaxLevels + 1, "levels");
    const auto found = list<std::int32_t>("levels", count);
    places_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      const auto place = value_of<std::int32_t>(found, i);
      const std::size_t before = i == 0 ? 0 : places_.back();
      if (place < 0 || static_cast<std::size_t>(place) < before ||
          static_cast<std::size_t>(place) - before > kMaxDegree || (i == 0 && place != 0)) {
        fail("FAISS graph has levels of impossible size");
      }
      places_.push_back(static_cast<std::size_t>(place));
    }
  }

  static std::size_t level_of(std::span<const std::byte> levels, std::size_t row) {
    return static_cast<std::size_t>(value_of<std::int32_t>(levels, row));
  }

  /// A link of level L leads to a row that has links of level L: else FAISS would read beyond them.
  void check_links(std::span<const std::byte> levels, std::span<const std::byte> links) const {
    std::size_t at = 0;
    for (std::size_t row = 0; row < header_.rows; ++row) {
      for (std::size_t level = 0; level < level_of(levels, row); ++level) {
        for (std::size_t i = places_[level]; i < places_[level + 1]; ++i) {
          const auto to = value_of<std::int32_t>(links, at++);
          if (to == -1) continue;
          if (to < 0 || static_cast<std::size_t>(to) >= header_.rows ||
              level_of(levels, static_cast<std::size_t>(to)) <= level) {
            fail("row " + std::to_string(row) + " of the FAISS graph leads to row " +
                 std::to_string(to) + " on level " + std::to_string(level));
          }
        }
      }
    }
  }

  void check_entry(std::span<const std::byte> levels) {
    const auto entry = read<std::int32_t>();
    const auto max_level = read<std::int32_t>();
    const auto ef_construction = read<std::int32_t>();
    const auto ef_search = read<std::int32_t>();
    const auto upper_beam = read<std::int32_t>();
    const bool fits = header_.rows == 0
                          ? entry == -1 && max_level == -1
                          : entry >= 0 && static_cast<std::size_t>(entry) < header_.rows &&
                                max_level >= 0 &&
                                level_of(levels, static_cast<std::size_t>(entry)) ==
                                    static_cast<std::size_t>(max_level) + 1;
    if (!fits)
      fail("FAISS graph begins at row " + std::to_string(entry) + " on level " +
           std::to_string(max_level));
    if (ef_construction < 1 || ef_search < 1 || upper_beam != 1)
      fail("FAISS graph has settings that cannot be");
  }

  void read_ids(FaissLayout& layout) {
    const auto ids = list<std::int64_t>("ids", layout.rows);
    std::unordered_set<std::int64_t> seen;
    for (std::size_t i = 0; i < layout.rows; ++i) {
      layout.ids.push_back(value_of<std::int64_t>(ids, i));
      if (!seen.insert(layout.ids.back()).second)
        fail("FAISS file names id " + std::to_string(layout.ids.back()) + " twice");
    }
  }

  const std::filesystem::path& file_;
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
  Header header_;
  std::vector<std::size_t> places_;
};

}  // namespace

FaissLayout check_faiss_file(const std::filesystem::path& file, std::span<const std::byte> bytes) {
  return Parser(file, bytes).parse();
}

}  // namespace nearlite
