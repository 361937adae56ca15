// nearlite_index_fixture FOLDER [rows dim]: writes fixture.ann, fixture.faiss (if the plugin is
// there) and the vectors themselves as fixture.f32, for tests/index_python_check.py.
#include <cstdlib>
#include <iostream>
#include <span>
#include <string>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/index/backend_file.h"
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

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 4) {
    std::cerr << "usage: nearlite_index_fixture FOLDER [ROWS DIM]\n";
    return 2;
  }
  try {
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
      std::cout << " fixture.faiss";
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
