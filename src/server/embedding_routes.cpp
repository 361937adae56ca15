// Vectors in the forms of OpenAI and of text-embeddings-inference.
#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "route.h"

namespace nearlite::server {
namespace {

constexpr std::size_t kMostInputs = 2048;
constexpr std::size_t kMostTextBytes = 256 << 10;
constexpr std::size_t kTextsAtOnce = 64;  // so that a long list does not keep others waiting

struct Vectors {
  std::vector<float> values;  // [num_texts, dim]
  std::size_t dim = 0;
  std::size_t num_tokens = 0;
  std::size_t num_truncated = 0;
};

struct EncodeRequest {
  std::vector<std::string> texts;
  std::optional<std::string> prompt_name;
  TextRole role = TextRole::kPlain;
  std::optional<std::size_t> dimensions;
};

const ModelInfo& model_of(const Call& call) {
  try {
    return call.context.parts.encoder->info();
  } catch (const Error&) {
    throw ApiError(
        424, "model_missing",
        "the model " + call.context.parts.model_name + " cannot be read; the log says why");
  }
}

/// The name that goes out: never a path of this machine.
std::string shown_model_name(const Call& call) {
  const std::string& full = call.context.parts.model_name;
  if (full.starts_with('/') || full.starts_with('.')) return full.substr(full.rfind('/') + 1);
  return full;
}

/// The first `dimensions` floats of each vector, scaled to length 1 again (Matryoshka).
void shorten(Vectors& vectors, std::size_t dimensions) {
  std::vector<float> shorter;
  for (std::size_t begin = 0; begin < vectors.values.size(); begin += vectors.dim) {
    double squares = 0;
    for (std::size_t i = 0; i < dimensions; ++i) {
      const double value = vectors.values[begin + i];
      squares += value * value;
    }
    const double scale = squares > 0 ? 1 / std::sqrt(squares) : 0;
    for (std::size_t i = 0; i < dimensions; ++i)
      shorter.push_back(static_cast<float>(vectors.values[begin + i] * scale));
  }
  vectors.values = std::move(shorter);
  vectors.dim = dimensions;
}

Vectors encode(const Call& call, const EncodeRequest& request) {
  const ApiParts& parts = call.context.parts;
  const Stopwatch stopwatch;
  Vectors vectors;
  vectors.dim = model_of(call).dim;
  for (std::size_t begin = 0; begin < request.texts.size(); begin += kTextsAtOnce) {
    const auto& gone = call.request.client_gone;
    if (begin > 0 && gone && *gone)
      throw ApiError(499, "client_gone", "the client did not wait for its answer");
    const std::size_t end = std::min(begin + kTextsAtOnce, request.texts.size());
    std::vector<std::string_view> texts;
    for (std::size_t i = begin; i < end; ++i) texts.emplace_back(request.texts[i]);
    const EncodedBatch batch = request.prompt_name
                                   ? parts.encoder->encode_with_prompt(texts, *request.prompt_name)
                                   : parts.encoder->encode(texts, request.role);
    vectors.values.insert(vectors.values.end(), batch.vectors.begin(), batch.vectors.end());
    vectors.num_tokens += batch.num_tokens;
    vectors.num_truncated += batch.num_truncated;
  }
  if (request.dimensions && *request.dimensions < vectors.dim)
    shorten(vectors, *request.dimensions);
  const std::string model = shown_model_name(call);
  parts.metrics.observe("embedding_encode_duration_seconds", {{"model", model}},
                        stopwatch.elapsed_ms() / 1000);
  parts.metrics.add("embedding_encode_tokens_total", {{"model", model}},
                    static_cast<double>(vectors.num_tokens));
  parts.metrics.add("embedding_encode_truncated_total", {{"model", model}},
                    static_cast<double>(vectors.num_truncated));
  return vectors;
}

void append_floats(std::string& text, std::span<const float> vector) {
  text += '[';
  char digits[32];
  for (std::size_t i = 0; i < vector.size(); ++i) {
    if (i > 0) text += ',';
    const auto written = std::to_chars(digits, digits + sizeof digits, vector[i]);
    text.append(digits, written.ptr);
  }
  text += ']';
}

void append_base64(std::string& text, std::span<const float> vector) {
  static_assert(std::endian::native == std::endian::little);
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::span<const std::byte> bytes = std::as_bytes(vector);
  text += '"';
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned group = 0;
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t j = 0; j < 3; ++j)
      group = group << 8 | (j < left ? std::to_integer<unsigned>(bytes[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j)
      text += j <= left ? kDigits[group >> (18 - 6 * j) & 63U] : '=';
  }
  text += '"';
}

std::string row_text(const Vectors& vectors, std::size_t row, bool base64) {
  std::string text;
  const auto vector = std::span(vectors.values).subspan(row * vectors.dim, vectors.dim);
  if (base64) {
    append_base64(text, vector);
  } else {
    append_floats(text, vector);
  }
  return text;
}

/// One text or a list of texts.
std::vector<std::string> texts_in(const Fields& fields, const std::string& name, const Json& json) {
  std::vector<std::string> texts;
  if (json.is_string()) {
    texts.push_back(json.get<std::string>());
  } else if (json.is_array()) {
    if (!json.empty() && (json.front().is_number() || json.front().is_array())) {
      fields.refuse(name,
                    "holds token numbers; send texts (token numbers belong to one tokenizer, and "
                    "clients make those of another model)");
    }
    for (const Json& one : json) {
      if (!one.is_string()) fields.refuse(name, "is not a text or a list of texts");
      texts.push_back(one.get<std::string>());
    }
  } else {
    fields.refuse(name, "is not a text or a list of texts");
  }
  if (texts.empty()) throw ApiError(400, "empty", "\"" + name + "\" is empty", name);
  if (texts.size() > kMostInputs) {
    throw ApiError(413, "too_many_inputs",
                   "\"" + name + "\" has " + std::to_string(texts.size()) + " texts, at most " +
                       std::to_string(kMostInputs) + " are read",
                   name);
  }
  for (const std::string& text : texts) {
    if (text.empty()) throw ApiError(400, "empty", "\"" + name + "\" holds an empty text", name);
    if (text.size() > kMostTextBytes)
      throw ApiError(413, "too_large", "a text is longer than 262144 bytes", name);
  }
  return texts;
}

void check_prompt(const Call& call, const Fields& fields, EncodeRequest& request) {
  if (!request.prompt_name) return;
  const ModelInfo& info = model_of(call);
  if (info.prompts.contains(*request.prompt_name)) return;
  std::vector<std::string> known;
  for (const auto& [name, prompt] : info.prompts) known.push_back(name);
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  fields.refuse("prompt_name", "names no prompt of the model; it has " +
                                   (list.empty() ? std::string("none") : list));
}

/// "sentence-transformers/all-MiniLM-L6-v2" or its last part.
bool is_model_name(const Call& call, const std::string& name) {
  const std::string& full = call.context.parts.model_name;
  return name == full || name == full.substr(full.rfind('/') + 1);
}

HttpResponse open_ai_embeddings(Call& call) {
  const Json body = call.body();
  Fields fields(body);
  const std::string model = fields.text("model", 512);
  if (!is_model_name(call, model)) {
    throw ApiError(404, "model_not_found",
                   "this service has the model \"" + shown_model_name(call) + "\", not \"" +
                       model.substr(0, 128) + "\"",
                   "model");
  }
  const Json* input = fields.any("input");
  if (input == nullptr) throw ApiError(400, "missing_field", "\"input\" is missing", "input");
  EncodeRequest request;
  request.texts = texts_in(fields, "input", *input);
  const std::string format = fields.optional_text("encoding_format", 16).value_or("float");
  if (format != "float" && format != "base64")
    fields.refuse("encoding_format", "is not float or base64");
  request.dimensions = fields.count("dimensions", 1, model_of(call).dim);
  request.prompt_name = fields.optional_text("prompt_name", 128);
  if (const auto type = fields.optional_text("input_type", 32)) {
    if (*type != "query" && *type != "document" && *type != "passage")
      fields.refuse("input_type", "is not query, document or passage");
    request.role = *type == "query" ? TextRole::kQuery : TextRole::kDocument;
  }
  fields.ignore("user");
  fields.finish();
  check_prompt(call, fields, request);
  const Vectors vectors = encode(call, request);
  HttpResponse response;
  response.body = R"({"object":"list","data":[)";
  for (std::size_t i = 0; i < request.texts.size(); ++i) {
    response.body += (i == 0 ? "" : ",") + std::string(R"({"object":"embedding","index":)") +
                     std::to_string(i) +
                     ",\"embedding\":" + row_text(vectors, i, format == "base64") + "}";
  }
  const std::string tokens = std::to_string(vectors.num_tokens);
  response.body += "],\"model\":" + json_text(shown_model_name(call)) +
                   ",\"usage\":{\"prompt_tokens\":" + tokens + ",\"total_tokens\":" + tokens +
                   "}}\n";
  response.headers.emplace_back("X-Nearlite-Truncated", std::to_string(vectors.num_truncated));
  return response;
}

Json model_json(const Call& call) {
  return {
      {"id", shown_model_name(call)}, {"object", "model"}, {"created", 0}, {"owned_by", "local"}};
}

HttpResponse list_models(Call& call) {
  return json_response({{"object", "list"}, {"data", Json::array({model_json(call)})}});
}

HttpResponse show_model(Call& call) {
  if (!is_model_name(call, call.path.at("id")))
    throw ApiError(404, "model_not_found", "this service does not have that model", "model");
  return json_response(model_json(call));
}

void refuse_cut_texts(const Call& call, const EncodeRequest& request) {
  for (const std::string& text : request.texts) {
    if (!call.context.parts.encoder->tokenize(text).truncated) continue;
    throw ApiError(413, "too_many_tokens",
                   "a text has more than the " + std::to_string(model_of(call).max_tokens) +
                       " tokens that the model reads; \"truncate\": true cuts it");
  }
}

HttpResponse tei_embed(Call& call) {
  const Json body = call.body();
  Fields fields(body, 422);
  const Json* inputs = fields.any("inputs");
  if (inputs == nullptr) throw ApiError(422, "missing_field", "\"inputs\" is missing", "inputs");
  EncodeRequest request;
  request.texts = texts_in(fields, "inputs", *inputs);
  const bool truncate = fields.flag("truncate", false);
  const std::string direction =
      to_lower_ascii(fields.optional_text("truncation_direction", 16).value_or("right"));
  if (direction != "right")
    fields.refuse("truncation_direction", "is not right: texts are cut at their end");
  const bool normalize = fields.flag("normalize", true);
  request.prompt_name = fields.optional_text("prompt_name", 128);
  request.dimensions = fields.count("dimensions", 1, model_of(call).dim);
  fields.finish();
  check_prompt(call, fields, request);
  if (!truncate) refuse_cut_texts(call, request);
  Vectors vectors = encode(call, request);
  if (normalize && !model_of(call).normalized) shorten(vectors, vectors.dim);
  HttpResponse response;
  response.body = "[";
  for (std::size_t i = 0; i < request.texts.size(); ++i)
    response.body += (i == 0 ? "" : ",") + row_text(vectors, i, false);
  response.body += "]\n";
  return response;
}

HttpResponse tei_info(Call& call) {
  const ModelInfo& info = model_of(call);
  std::string pooling = "mean";
  for (const std::string& module : info.modules) {
    if (const std::size_t open = module.find("Pooling("); open != std::string::npos)
      pooling = module.substr(open + 8, module.find(')') - open - 8);
  }
  return json_response({{"model_id", shown_model_name(call)},
                        {"model_sha", info.identity},
                        {"model_dtype", "float32"},
                        {"model_type", {{"embedding", {{"pooling", pooling}}}}},
                        {"max_concurrent_requests", 256},
                        {"max_input_length", info.max_tokens},
                        {"max_batch_tokens", info.max_tokens * kTextsAtOnce},
                        {"max_batch_requests", nullptr},
                        {"max_client_batch_size", kMostInputs},
                        {"auto_truncate", false},
                        {"tokenization_workers", 1},
                        {"version", call.context.parts.version},
                        {"dim", info.dim}});
}

}  // namespace

std::vector<Route> embedding_routes() {
  return {
      {"POST",
       "/v1/embeddings",
       Right::kRead,
       ErrorForm::kOpenAi,
       &open_ai_embeddings,
       "Vectors of texts, in OpenAI's form; longer texts than the model reads are cut",
       {{"model", "string", true, "as in /v1/models"},
        {"input", "string|string[]", true, "one text or up to 2048"},
        {"encoding_format", "string", false, "default: float", R"({"enum": ["float", "base64"]})"},
        {"dimensions", "integer", false, "the first so many, scaled to length 1",
         R"({"minimum": 1})"},
        {"user", "string", false, "ignored"},
        {"prompt_name", "string", false, "one of the model's prompts instead of the default one"},
        {"input_type", "string", false, "whose prompt",
         R"({"enum": ["query", "document", "passage"]})"}},
       200,
       "application/json",
       false,
       "Embeddings"},
      {"GET",
       "/v1/models",
       Right::kRead,
       ErrorForm::kOpenAi,
       &list_models,
       "The models",
       {},
       200,
       "application/json",
       false,
       "Models"},
      {"GET",
       "/v1/models/{id*}",
       Right::kRead,
       ErrorForm::kOpenAi,
       &show_model,
       "One model",
       {},
       200,
       "application/json",
       false,
       "Model"},
      {"POST",
       "/embed",
       Right::kRead,
       ErrorForm::kTei,
       &tei_embed,
       "Vectors of texts, in the form of text-embeddings-inference",
       {{"inputs", "string|string[]", true, "one text or up to 2048"},
        {"truncate", "boolean", false, "cut texts that are too long (default: refuse them)"},
        {"truncation_direction", "string", false, "", R"({"enum": ["right", "Right"]})"},
        {"normalize", "boolean", false, "scale to length 1 (default)"},
        {"prompt_name", "string", false, "one of the model's prompts"},
        {"dimensions", "integer", false, "the first so many", R"({"minimum": 1})"}},
       200,
       "application/json",
       false,
       "TeiVectors"},
      {"GET",
       "/info",
       Right::kRead,
       ErrorForm::kTei,
       &tei_info,
       "About the model",
       {},
       200,
       "application/json",
       false,
       "TeiInfo"},
  };
}

}  // namespace nearlite::server
