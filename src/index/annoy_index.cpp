#include "nearlite/index/annoy_index.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "annoy_format.h"
#include "collector.h"
#include "nearlite/base/error.h"
#include "nearlite/index/flat_index.h"
#include "row_codes.h"

namespace nearlite {
namespace {

/// Proves that a search can walk a file: every index in range, children before their parents, and
/// every tree holding every item exactly once.
class Validator {
 public:
  Validator(const std::filesystem::path& file, std::span<const std::byte> bytes, std::size_t dim,
            std::size_t num_items)
      : file_(file), bytes_(bytes), dim_(dim), layout_(dim), num_items_(num_items) {}

  void check_size() {
    if (bytes_.empty()) fail("index file is empty");
    if (bytes_.size() % layout_.node_bytes != 0) {
      fail("not an Annoy file of " + std::to_string(dim_) +
           " dimensions: " + std::to_string(bytes_.size()) + " bytes are no multiple of " +
           std::to_string(layout_.node_bytes));
    }
    num_nodes_ = bytes_.size() / layout_.node_bytes;
    if (num_nodes_ > static_cast<std::size_t>(INT32_MAX) || num_nodes_ <= num_items_) {
      fail("Annoy file of " + std::to_string(num_nodes_) + " nodes does not hold " +
           std::to_string(num_items_) + " items and a tree");
    }
  }

  /// The length of every item's vector.
  std::vector<float> check_items() const {
    std::vector<float> norms(num_items_);
    for (std::size_t i = 0; i < num_items_; ++i) {
      const std::byte* item = node(i);
      const std::span vector(annoy_vector(item), dim_);
      norms[i] = vector_norm(vector);
      float stored = 0;
      std::memcpy(&stored, item + AnnoyLayout::kChildren, sizeof stored);
      const double squared = static_cast<double>(norms[i]) * static_cast<double>(norms[i]);
      // Also tells most changes inside a vector. An overflowed or vanished square (lengths beyond
      // 1e19 or below 1e-22) cannot be compared.
      const bool comparable = std::isfinite(stored) && squared > 1e-35;
      if (annoy_descendants(item) != 1 || !std::isfinite(norms[i]) || std::isnan(stored) ||
          stored < 0 ||
          (comparable && std::abs(static_cast<double>(stored) - squared) > 1e-3 * squared) ||
          (!std::isfinite(stored) && squared < 1e38)) {
        fail("item " + std::to_string(i) + " of the Annoy file is damaged");
      }
    }
    return norms;
  }

  /// The roots, one per tree.
  std::vector<std::int32_t> check_trees() {
    for (std::size_t i = num_items_; i < num_nodes_; ++i) check_node(i);
    std::vector<std::int32_t> roots;
    for (std::size_t i = num_nodes_; i-- > num_items_;) {
      if (static_cast<std::size_t>(annoy_descendants(node(i))) != num_items_) break;
      roots.push_back(static_cast<std::int32_t>(i));
      if (num_items_ <= layout_.leaf_capacity) break;  // one leaf holds all: more trees add nothing
    }
    if (roots.empty()) fail("Annoy file has no root over " + std::to_string(num_items_) + " items");
    // Before the copies of all roots stands the original of the last one.
    if (roots.size() > 1 &&
        annoy_child(node(index(roots.front())), 0) == annoy_child(node(index(roots.back())), 0)) {
      roots.pop_back();
    }
    for (const std::int32_t root : roots) check_coverage(root);
    return roots;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw CorruptData(file_.string() + ": " + what,
                      "the file is derived: delete it and it is rebuilt from the sidecar");
  }
  const std::byte* node(std::size_t i) const { return bytes_.data() + i * layout_.node_bytes; }
  static std::size_t index(std::int32_t value) { return static_cast<std::size_t>(value); }

  std::size_t descendants(std::size_t i) const {
    return i < num_items_ ? 1 : index(annoy_descendants(node(i)));
  }

  void check_node(std::size_t i) const {
    const std::byte* at = node(i);
    const std::int32_t count = annoy_descendants(at);
    const auto damaged = [&] {
      fail("node " + std::to_string(i) + " of the Annoy file is damaged");
    };
    if (count < 0 || index(count) > num_items_) damaged();
    if (index(count) <= layout_.leaf_capacity) {
      for (std::size_t j = 0; j < index(count); ++j) {
        const std::int32_t item = annoy_child(at, j);
        if (item < 0 || index(item) >= num_items_) damaged();
      }
      return;
    }
    const std::int32_t negative = annoy_child(at, 0);
    const std::int32_t positive = annoy_child(at, 1);
    if (negative < 0 || positive < 0 || index(negative) >= i || index(positive) >= i ||
        descendants(index(negative)) + descendants(index(positive)) != index(count)) {
      damaged();
    }
    if (!std::isfinite(vector_norm({annoy_vector(at), dim_}))) damaged();
  }

  void check_coverage(std::int32_t root) {
    std::vector<bool> seen(num_items_);
    std::size_t num_seen = 0;
    const auto see = [&](std::size_t item) {
      if (seen[item]) {
        fail("tree " + std::to_string(root) + " of the Annoy file holds item " +
             std::to_string(item) + " twice");
      }
      seen[item] = true;
      ++num_seen;
    };
    std::vector<std::int32_t> open{root};
    while (!open.empty()) {
      const std::size_t i = index(open.back());
      open.pop_back();
      const std::byte* at = node(i);
      if (i < num_items_) {
        see(i);
      } else if (index(annoy_descendants(at)) <= layout_.leaf_capacity) {
        for (std::size_t j = 0; j < index(annoy_descendants(at)); ++j)
          see(index(annoy_child(at, j)));
      } else {
        open.push_back(annoy_child(at, 0));
        open.push_back(annoy_child(at, 1));
      }
    }
    if (num_seen != num_items_)
      fail("tree " + std::to_string(root) + " of the Annoy file misses items");
  }

  const std::filesystem::path& file_;
  std::span<const std::byte> bytes_;
  std::size_t dim_;
  AnnoyLayout layout_;
  std::size_t num_items_;
  std::size_t num_nodes_ = 0;
};

}  // namespace

std::shared_ptr<const AnnoyIndex> AnnoyIndex::open(const std::filesystem::path& file,
                                                   std::size_t dim, std::vector<VectorId> ids,
                                                   Calibration calibration) {
  return std::shared_ptr<const AnnoyIndex>(
      new AnnoyIndex(file, dim, std::move(ids), std::move(calibration)));
}

AnnoyIndex::AnnoyIndex(const std::filesystem::path& file, std::size_t dim,
                       std::vector<VectorId> ids, Calibration calibration)
    : mapped_(file),
      guard_(mapped_.bytes().data(), mapped_.bytes().size()),
      dim_(dim),
      node_bytes_(AnnoyLayout(dim).node_bytes),
      ids_(std::move(ids)),
      calibration_(std::move(calibration)) {
  if (dim == 0 || dim > 65'536) {
    throw InvalidArgument("index of " + std::to_string(dim) +
                          " dimensions, 1 to 65536 are possible");
  }
  Validator validator(file, mapped_.bytes(), dim_, ids_.size());
  validator.check_size();
  norms_ = validator.check_items();
  roots_ = validator.check_trees();
  codes_ = std::make_unique<const RowCodes>(
      StridedVectors{annoy_vector(node(0)), node_bytes_ / sizeof(float), dim_}, norms_);
  check_unchanged();
}

AnnoyIndex::~AnnoyIndex() = default;

std::uint64_t AnnoyIndex::memory_bytes() const noexcept {
  return codes_->bytes().size() + ids_.size() * (sizeof(VectorId) + 2 * sizeof(float));
}

void AnnoyIndex::check_unchanged() const {
  if (mapped_.is_unchanged() && !guard_.was_cut()) return;
  throw CorruptData(
      "an Annoy file was written to while it was open",
      "index files are replaced, never changed: open it anew, or delete it and it is rebuilt");
}

const std::byte* AnnoyIndex::node(std::size_t index) const noexcept {
  return mapped_.bytes().data() + index * node_bytes_;
}

void AnnoyIndex::save(const std::filesystem::path& file) const {
  AtomicFile copy(file);
  copy.write(mapped_.bytes());
  copy.commit();
}

}  // namespace nearlite
