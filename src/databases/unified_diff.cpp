// The unified diff of two texts by lines: shortest edit script after Myers (An O(ND) Difference
// Algorithm, 1986).
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "vector_text.h"

namespace nearlite {
namespace {

/// Edits beyond this are not searched for: the remaining lines count as replaced. It bounds time
/// and memory (16 MB).
constexpr int kMaxEdits = 2000;

enum class Edit : char { kKeep = ' ', kRemove = '-', kInsert = '+' };

using Lines = std::vector<std::string>;

/// One row of furthest-reaching points per number of edits; index k + edits is diagonal k.
using Trace = std::vector<std::vector<int>>;

/// The edits from the last point back to the start, in reverse.
std::vector<Edit> walk_back(const Trace& trace, int x, int y) {
  std::vector<Edit> reversed;
  for (int d = static_cast<int>(trace.size()); d > 0; --d) {
    const std::vector<int>& row = trace[static_cast<std::size_t>(d - 1)];  // reached with d-1 edits
    const auto reached = [&](int k) {
      return k < -(d - 1) || k > d - 1 ? -1 : row[static_cast<std::size_t>(k + d - 1)];
    };
    const int k = x - y;
    const bool inserted = k == -d || (k != d && reached(k - 1) < reached(k + 1));
    const int from_k = inserted ? k + 1 : k - 1;
    const int from_x = reached(from_k);
    const int from_y = from_x - from_k;
    while (x > from_x + (inserted ? 0 : 1) && y > from_y + (inserted ? 1 : 0)) {
      reversed.push_back(Edit::kKeep);
      --x;
      --y;
    }
    reversed.push_back(inserted ? Edit::kInsert : Edit::kRemove);
    x = from_x;
    y = from_y;
  }
  for (; x > 0; --x) reversed.push_back(Edit::kKeep);
  return reversed;
}

std::vector<Edit> shortest_edits(const Lines& a, const Lines& b) {
  const int n = static_cast<int>(a.size());
  const int m = static_cast<int>(b.size());
  Trace trace;
  for (int d = 0; d <= std::min(n + m, kMaxEdits); ++d) {
    std::vector<int> row(static_cast<std::size_t>(2 * d + 1), -1);
    for (int k = -d; k <= d; k += 2) {
      const auto before = [&](int diagonal) {
        return diagonal < -(d - 1) || diagonal > d - 1
                   ? -1
                   : trace.back()[static_cast<std::size_t>(diagonal + d - 1)];
      };
      int x = 0;
      if (d > 0) {
        const bool inserted = k == -d || (k != d && before(k - 1) < before(k + 1));
        x = inserted ? before(k + 1) : before(k - 1) + 1;
      }
      int y = x - k;
      while (x < n && y < m && y >= 0 &&
             a[static_cast<std::size_t>(x)] == b[static_cast<std::size_t>(y)]) {
        ++x;
        ++y;
      }
      const int slot = k + d;
      row[static_cast<std::size_t>(slot)] = x;
      if (x >= n && y >= m) {
        std::vector<Edit> edits = walk_back(trace, n, m);
        std::reverse(edits.begin(), edits.end());
        return edits;
      }
    }
    trace.push_back(std::move(row));
  }
  std::vector<Edit> replaced(a.size(), Edit::kRemove);
  replaced.insert(replaced.end(), b.size(), Edit::kInsert);
  return replaced;
}

std::vector<Edit> edits_between(const Lines& a, const Lines& b) {
  std::size_t head = 0;
  while (head < a.size() && head < b.size() && a[head] == b[head]) ++head;
  std::size_t tail = 0;
  while (tail < a.size() - head && tail < b.size() - head &&
         a[a.size() - 1 - tail] == b[b.size() - 1 - tail]) {
    ++tail;
  }
  const auto middle = [&](const Lines& lines) {
    return Lines(lines.begin() + static_cast<std::ptrdiff_t>(head),
                 lines.end() - static_cast<std::ptrdiff_t>(tail));
  };
  std::vector<Edit> edits(head, Edit::kKeep);
  const std::vector<Edit> changed = shortest_edits(middle(a), middle(b));
  edits.insert(edits.end(), changed.begin(), changed.end());
  edits.insert(edits.end(), tail, Edit::kKeep);
  return edits;
}

/// "start,length" counted from 1; the length is left out when it is 1, an empty range starts before
/// its line.
std::string range(std::size_t begin, std::size_t length) {
  if (length == 1) return std::to_string(begin + 1);
  return std::to_string(length == 0 ? begin : begin + 1) + "," + std::to_string(length);
}

}  // namespace

std::string unified_diff(std::string_view before, std::string_view after, std::size_t context) {
  const Lines a = lines_of(before);
  const Lines b = lines_of(after);
  const std::vector<Edit> edits = edits_between(a, b);
  std::string out;
  std::size_t a_at = 0;
  std::size_t b_at = 0;
  for (std::size_t i = 0; i < edits.size();) {
    if (edits[i] == Edit::kKeep) {
      ++i, ++a_at, ++b_at;
      continue;
    }
    const std::size_t lead = std::min({context, a_at, b_at, i});
    // A hunk goes on while at most twice the context lies between two changes.
    std::size_t end = i;
    for (std::size_t j = i, kept = 0; j < edits.size() && kept <= 2 * context; ++j) {
      kept = edits[j] == Edit::kKeep ? kept + 1 : 0;
      if (kept == 0) end = j + 1;
    }
    const std::size_t stop = std::min(end + context, edits.size());
    const std::size_t a_begin = a_at - lead;
    const std::size_t b_begin = b_at - lead;
    std::string body;
    for (std::size_t j = a_begin; j < a_at; ++j) body += " " + a[j] + "\n";
    for (; i < stop; ++i) {
      const bool inserted = edits[i] == Edit::kInsert;
      body += static_cast<char>(edits[i]) + (inserted ? b[b_at] : a[a_at]) + "\n";
      if (edits[i] != Edit::kInsert) ++a_at;
      if (edits[i] != Edit::kRemove) ++b_at;
    }
    if (out.empty()) out = "--- \n+++ \n";
    out += "@@ -" + range(a_begin, a_at - a_begin) + " +" + range(b_begin, b_at - b_begin) +
           " @@\n" + body;
  }
  if (!out.empty()) out.pop_back();
  return out;
}

}  // namespace nearlite
