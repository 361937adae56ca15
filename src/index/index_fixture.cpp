// nearlite_index_fixture FOLDER [rows dim]: writes fixture.ann, fixture.faiss and
// fixture.hnsw.faiss (if the plugin is there) and the vectors themselves as fixture.f32, for
// tests/index_python_check.py. nearlite_index_fixture --search FILE.faiss QUERIES.f32 K: the ids
// that a FAISS file of another program gives, a line per query.
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/index/backend_file.h"
#include "nearlite/index/faiss_index.h"
#include "test_vectors.h"

namespace {

using nearlite::Backend;

/// Clustered rows with what makes trouble: equal vectors, one of another length, and one of zeros.
nearlite::test::Rows fixture_rows(std::size_t count, std::size_t dim) {
  nearlite::test::Rows rows = nearlite::test::clustered_rows(count, dim, 20261120);
  if (count < 20) return rows;
  for (std::size_t j = 0; j < dim; ++j) {
    rows.values[11 * dim + j] = rows.values[10 * dim + j];
    rows.values[12 * dim + j] = rows.values[10 * dim + j];
    rows.values[13 * dim + j] *= 1000.0F;
    rows.values[14 * dim + j] = 0.0F;
  }
  return rows;
}

void search_foreign(const std::filesystem::path& file, const std::filesystem::path& queries,
                    std::size_t k) {
  const auto index = nearlite::FaissIndex::open(nearlite::load_faiss_plugin(), file);
  const std::string bytes = nearlite::read_file(queries);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  for (std::size_t at = 0; at + index->dim() <= values.size(); at += index->dim()) {
    const std::span<const float> query(values.data() + at, index->dim());
    const auto found = index->is_graph() ? index->search_with_effort(query, {.k = k}, index->size())
                                         : index->search(query, {.k = k});
    for (const std::int64_t id : nearlite::test::ids_in(found)) std::cout << id << ' ';
    std::cout << '\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool search = argc == 5 && std::string(argv[1]) == "--search";
  if (argc != 2 && argc != 4 && !search) {
    std::cerr << "usage: nearlite_index_fixture FOLDER [ROWS DIM]\n"
                 "       nearlite_index_fixture --search FILE.faiss QUERIES.f32 K\n";
    return 2;
  }
  try {
    if (search) {
      search_foreign(argv[2], argv[3], std::stoul(argv[4]));
      return 0;
    }
    const std::filesystem::path folder = argv[1];
    const std::size_t count = argc == 4 ? std::stoul(argv[2]) : 3000;
    const std::size_t dim = argc == 4 ? std::stoul(argv[3]) : 48;
    std::filesystem::create_directories(folder);
    const nearlite::test::Rows rows = fixture_rows(count, dim);
    nearlite::AtomicFile vectors(folder / "fixture.f32");
    vectors.write(std::as_bytes(std::span(rows.values)));
    vectors.commit();
    nearlite::build_backend_file(Backend::kAnnoy, rows.view(), folder / "fixture.ann");
    std::cout << "fixture.ann fixture.f32";
    try {
      nearlite::build_backend_file(Backend::kFaiss, rows.view(), folder / "fixture.faiss");
      nearlite::build_backend_file(Backend::kFaiss, rows.view(), folder / "fixture.hnsw.faiss",
                                   {.faiss_hnsw_from = 0});
      std::cout << " fixture.faiss fixture.hnsw.faiss";
    } catch (const nearlite::NotFound& missing) {
      std::cerr << missing.what() << '\n';
    }
    std::cout << ": " << count << " x " << dim << '\n';
    return 0;
  } catch (const nearlite::Error& error) {
    std::cerr << error.what() << '\n';
    return error.exit_code();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 6;
  }
}
