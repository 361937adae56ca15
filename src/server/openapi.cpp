// The OpenAPI 3.1 document: made from the table of routes, so that it cannot say something else.
#include "route.h"

namespace nearlite::server {
namespace {

Json schema_of(const FieldDoc& field) {
  const std::string type = field.type;
  Json schema;
  if (type == "string|string[]") {
    const Json text = {{"type", "string"}, {"minLength", 1}};
    schema = {
        {"anyOf", Json::array({text, Json{{"type", "array"}, {"items", text}, {"minItems", 1}}})}};
  } else if (type == "string[]|object") {
    schema = {{"anyOf", Json::array({Json{{"type", "array"}, {"items", {{"type", "string"}}}},
                                     Json{{"type", "object"},
                                          {"additionalProperties", {{"type", "number"}}}}})}};
  } else {
    const bool list = type.ends_with("[]");
    const Json kind = list ? "array" : type;
    // null counts as not sent
    schema["type"] = field.required ? kind : Json::array({kind, "null"});
    if (list) schema["items"] = {{"type", type.substr(0, type.size() - 2)}};
  }
  if (field.limits[0] != '\0') schema.update(Json::parse(field.limits), true);
  if (schema.contains("enum") && !field.required) schema["enum"].push_back(nullptr);
  if (field.about[0] != '\0') schema["description"] = field.about;
  return schema;
}

Json body_of(const Route& route) {
  Json properties = Json::object();
  Json required = Json::array();
  for (const FieldDoc& field : route.body) {
    properties[field.name] = schema_of(field);
    if (field.required) required.push_back(field.name);
  }
  Json schema = {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
  if (!required.empty()) schema["required"] = required;
  return {{"required", true}, {"content", {{"application/json", {{"schema", schema}}}}}};
}

Json path_schema(const std::string& name) {
  if (name == "name")
    return {{"type", "string"}, {"pattern", "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"}};
  // a byte 0 names nothing
  return {{"type", "string"}, {"pattern", "^[^\\u0000]{1,1000}$"}};
}

/// "/v1/models/{id*}" -> "/v1/models/{id}", and the names of its parameters.
std::string plain_pattern(const Route& route, Json& parameters) {
  std::string pattern;
  for (const std::string_view rest = route.pattern; const char c : rest) {
    if (c != '*') pattern += c;
  }
  for (std::size_t open = pattern.find('{'); open != std::string::npos;
       open = pattern.find('{', open + 1)) {
    const std::string name = pattern.substr(open + 1, pattern.find('}', open) - open - 1);
    parameters.push_back(
        {{"name", name}, {"in", "path"}, {"required", true}, {"schema", path_schema(name)}});
  }
  for (const FieldDoc& field : route.parameters) {
    Json schema = schema_of(field);
    schema["type"] = field.type;  // there is no null in an address
    parameters.push_back({{"name", field.name},
                          {"in", "query"},
                          {"required", field.required},
                          {"schema", std::move(schema)}});
  }
  return pattern;
}

Json responses_of(const Route& route) {
  const Json schema = route.answer[0] == '\0'
                          ? Json::object()
                          : Json{{"$ref", std::string("#/components/schemas/") + route.answer}};
  const Json content = {{route.content_type, {{"schema", schema}}}};
  Json responses;
  responses[std::to_string(route.success)] = {{"description", route.summary}, {"content", content}};
  if (route.quick && route.answer[0] != '\0')  // what is not ready says how far it is
    responses["503"] = {{"description", "Not ready"}, {"content", content}};
  const char* error = route.form == ErrorForm::kTei ? "TeiError" : "Error";
  responses["default"] = {
      {"description", "What went wrong"},
      {"content",
       {{"application/json",
         {{"schema", {{"$ref", std::string("#/components/schemas/") + error}}}}}}}};
  return responses;
}

Json error_schema() {
  const Json text = {{"type", "string"}};
  const Json maybe = {{"type", Json::array({"string", "null"})}};
  return {{"type", "object"},
          {"required", Json::array({"error"})},
          {"properties",
           {{"error",
             {{"type", "object"},
              {"required", Json::array({"message", "type", "param", "code", "request_id"})},
              {"properties",
               {{"message", text},
                {"type", text},
                {"param", maybe},
                {"code", text},
                {"request_id", text}}}}}}}};
}

Json tei_error_schema() {
  const Json text = {{"type", "string"}};
  return {{"type", "object"},
          {"required", Json::array({"error", "error_type"})},
          {"properties", {{"error", text}, {"error_type", text}}}};
}

}  // namespace

std::string openapi_document(const std::string& version) {
  Json paths = Json::object();
  for (const Route& route : all_routes()) {
    Json parameters = Json::array();
    const std::string pattern = plain_pattern(route, parameters);
    std::string method = route.method;
    for (char& c : method) c = static_cast<char>(c + ('a' - 'A'));
    Json& operation = paths[pattern][method];
    operation["summary"] = route.summary;
    if (!parameters.empty()) operation["parameters"] = parameters;
    if (!route.body.empty()) operation["requestBody"] = body_of(route);
    operation["responses"] = responses_of(route);
    // With a token file: the token; without one nothing is asked for.
    operation["security"] = route.right == Right::kNone
                                ? Json::array()
                                : Json::array({Json{{"token", Json::array()}}, Json::object()});
  }
  Json schemas = Json::parse(openapi_schemas());
  schemas["Error"] = error_schema();
  schemas["TeiError"] = tei_error_schema();
  const Json document = {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "nearlite"},
        {"version", version},
        {"description", "Semantic search for the SQLite databases you already have"}}},
      {"paths", paths},
      {"components",
       {{"securitySchemes", {{"token", {{"type", "http"}, {"scheme", "bearer"}}}}},
        {"schemas", std::move(schemas)}}}};
  return json_text(document) + "\n";
}

}  // namespace nearlite::server
