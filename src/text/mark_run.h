#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace nearlite {

/// Combining marks that follow one another, waiting to be put into canonical order.
class MarkRun {
 public:
  bool empty() const noexcept { return marks_.empty(); }
  std::size_t size() const noexcept { return marks_.size(); }
  void clear() noexcept { marks_.clear(); }
  void add(char32_t code, std::uint32_t combining_class) {
    marks_.push_back({combining_class, code});
  }

  /// Calls put(code) for each mark in canonical order (stable, by combining class) and forgets
  /// them.
  template <typename Put>
  void move_to(Put put) {
    std::stable_sort(marks_.begin(), marks_.end(), [](const Mark& a, const Mark& b) {
      return a.combining_class < b.combining_class;
    });
    for (const Mark& mark : marks_) put(mark.code);
    marks_.clear();
  }

 private:
  struct Mark {
    std::uint32_t combining_class;
    char32_t code;
  };
  std::vector<Mark> marks_;
};

}  // namespace nearlite
