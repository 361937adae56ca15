// Uses the layers above the mixin: the umbrella header compiles and its libraries link.
#include <nearlite/nearlite.h>

#include <cstdio>
#include <filesystem>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto registry = nearlite::Registry::of_folder(std::filesystem::path(argv[1]), {});
  std::printf("%zu stores\n", registry.entries().size());
  return registry.entries().size() == 6 ? 0 : 1;  // the six of the seed, none with a file
}
