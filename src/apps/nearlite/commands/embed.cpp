#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>

#include "../command_line.h"
#include "../context.h"
#include "../model_choice.h"
#include "../progress.h"
#include "../stop_signal.h"
#include "../text_input.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"

namespace nearlite::cli {
namespace {

static_assert(std::endian::native == std::endian::little,
              "f32 and npy are written as they lie in memory");

struct EmbedArguments {
  std::string input = "-";
  std::string model;
  std::string precision = "auto";
  std::size_t dimensions = 0;  // 0: all
  std::optional<std::string> prompt_name;
  std::string format = "jsonl";
  std::string out;
};

constexpr std::size_t kNpyHeaderBytes = 128;

/// The header of a .npy file, version 1.0: always 128 bytes, so that the number of rows can be set
/// at the end.
std::string npy_header(std::size_t rows, std::size_t dim) {
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) +
                     ", " + std::to_string(dim) + "), }";
  text.resize(kNpyHeaderBytes - 10 - 1, ' ');
  text += '\n';
  std::string header = "\x93NUMPY";
  header +=
      {'\x01', '\x00', static_cast<char>(text.size() & 0xFF), static_cast<char>(text.size() >> 8)};
  return header + text;
}

/// Takes the vectors in order and writes them in one of the three forms, to stdout or, whole or not
/// at all, to a file.
class VectorWriter {
 public:
  VectorWriter(Context& context, const EmbedArguments& arguments, std::size_t dim)
      : context_(context), format_(arguments.format), dim_(dim) {
    if (!arguments.out.empty()) file_.emplace(arguments.out);
    if (format_ == "npy" && file_) file_->write(npy_header(0, dim_));
  }

  void add(std::span<const float> vector) {
    ++rows_;
    if (format_ == "jsonl") {
      put(json_line(vector));
    } else if (format_ == "npy" && !file_) {
      rest_.insert(rest_.end(), vector.begin(),
                   vector.end());  // the header comes first and needs the number of rows
    } else {
      put(bytes(vector));
    }
  }

  void finish() {
    if (format_ == "npy" && !file_) {
      put(npy_header(rows_, dim_));
      put(bytes(rest_));
    }
    context_.out.flush();
    if (!file_) return;
    if (format_ == "npy") overwrite_header();
    file_->commit();
  }

 private:
  /// The shortest decimals that give the same floats again.
  static std::string json_line(std::span<const float> vector) {
    std::string line = "[";
    std::array<char, 32> text{};
    for (const float value : vector) {
      const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
      if (line.size() > 1) line += ',';
      line.append(text.data(), end);
    }
    return line + "]\n";
  }

  static std::string_view bytes(std::span<const float> values) {
    return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
  }

  void put(std::string_view text) {
    if (file_) {
      file_->write(text);
    } else {
      context_.out.write(text);
    }
  }

  void overwrite_header() {
    const std::string header = npy_header(rows_, dim_);
    const int fd = open(file_->temporary_path().c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) throw_errno("cannot open " + file_->temporary_path().string(), errno);
    const ssize_t written = pwrite(fd, header.data(), header.size(), 0);
    const int error = errno;
    close(fd);
    if (written != static_cast<ssize_t>(header.size()))
      throw_errno("cannot write the header", written < 0 ? error : ENOSPC);
  }

  Context& context_;
  std::string format_;
  std::size_t dim_;
  std::size_t rows_ = 0;
  std::vector<float> rest_;
  std::optional<AtomicFile> file_;
};

/// The first `dimensions` values, scaled to length 1 again: what models trained for it (Matryoshka)
/// allow.
void shorten(std::vector<float>& vector, std::size_t dimensions) {
  vector.resize(dimensions);
  const float squares = std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0F);
  if (squares <= 0) return;
  for (float& value : vector) value /= std::sqrt(squares);
}

EncodedBatch encode(const TextEncoder& encoder, const std::vector<std::string>& texts,
                    const EmbedArguments& arguments) {
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  if (arguments.prompt_name) return encoder.encode_with_prompt(views, *arguments.prompt_name);
  return encoder.encode(views, TextRole::kPlain);
}

int embed(Context& context, const EmbedArguments& arguments) {
  const std::string model =
      arguments.model.empty() ? context.default_model() : full_model_name(arguments.model);
  EncoderOptions options = context.encoder_options();
  options.precision = precision_of_name(arguments.precision);
  const auto encoder =
      lazy_encoder(require_model(context, model).string(), context.model_places(), options);
  const std::size_t dim = encoder->info().dim;
  if (arguments.dimensions > dim) {
    throw InvalidArgument("--dimensions is " + std::to_string(arguments.dimensions) +
                          ", the model has " + std::to_string(dim));
  }
  const std::size_t kept = arguments.dimensions == 0 ? dim : arguments.dimensions;
  TextReader reader(arguments.input);
  VectorWriter writer(context, arguments, kept);
  const StopOnSignal stop;
  ProgressLine progress(context, "texts");
  BackfillProgress state;
  std::size_t truncated = 0;
  const Stopwatch stopwatch;
  const std::size_t batch_size = 64 * std::max<std::size_t>(1, context.options.threads);
  std::vector<std::string> batch;
  const auto flush = [&] {
    const EncodedBatch encoded = encode(*encoder, batch, arguments);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      std::vector<float> vector(encoded.vector(i).begin(), encoded.vector(i).end());
      if (kept < dim) shorten(vector, kept);
      writer.add(vector);
    }
    truncated += encoded.num_truncated;
    state.done += batch.size();
    state.tokens += encoded.num_tokens;
    state.elapsed_ms = stopwatch.elapsed_ms();
    progress.show(state);
    batch.clear();
  };
  for (std::string text; !stop.token().stop_requested() && reader.next(text);) {
    batch.push_back(text);
    if (batch.size() == batch_size) flush();
  }
  if (stop.exit_code() != 0) {
    context.out.flush();
    return stop.exit_code();  // a file asked for with --out stays as it was
  }
  if (!batch.empty()) flush();
  writer.finish();
  if (truncated > 0) {
    context.note(with_separators(truncated) + " of " + with_separators(state.done) +
                 " texts are longer than the " + std::to_string(encoder->info().max_tokens) +
                 " tokens that the model reads, and were cut");
  }
  return 0;
}

}  // namespace

void add_embed_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<EmbedArguments>();
  CLI::App& command =
      add_command(app, "embed", "Texts in, vectors out: one per line, in order",
                  "  nearlite embed texts.txt --format npy --out vectors.npy\n"
                  "  echo \"upload failed\" | nearlite embed\n"
                  "  nearlite embed questions.txt --prompt-name query --dimensions 128");
  command.add_option("FILE", arguments->input,
                     "One text per line, or JSON objects with \"text\" (default -: stdin)");
  command
      .add_option("--model", arguments->model,
                  "A hub name or a folder (default: NEARLITE_MODEL, else all-MiniLM-L6-v2)")
      ->type_name("M");
  add_choice(command, "--precision", arguments->precision,
             {"auto", "fp32", "bf16", "int16", "int8"},
             "Arithmetic; auto: the fastest here that is as good as fp32 (cosine 0.9999)");
  add_count(command, "--dimensions", arguments->dimensions, 1, 65'536,
            "Keep the first D values, scaled to length 1")
      ->type_name("D");
  command
      .add_option("--prompt-name", arguments->prompt_name,
                  "Put this prompt of the model before every text")
      ->type_name("N");
  add_choice(command, "--format", arguments->format, {"jsonl", "npy", "f32"},
             "Form of the vectors");
  command.add_option("--out", arguments->out, "Write to this file instead of stdout")
      ->type_name("FILE");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return embed(context, *arguments); };
  });
}

}  // namespace nearlite::cli
