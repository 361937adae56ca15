// The schemas of answers in /openapi.json. What an answer always has is "required"; more may come.
#include "route.h"

namespace nearlite::server {

const char* openapi_schemas() {
  return R"json({
"Key": {"type": ["integer", "string", "array"]},
"Fields": {"type": "object", "additionalProperties": {"type": ["integer", "number", "string", "null"]}},
"Failure": {"type": "object", "required": ["type", "message", "hint"],
  "properties": {"type": {"type": "string"}, "message": {"type": "string"}, "hint": {"type": "string"}}},
"Hit": {"type": "object",
  "required": ["rank", "store", "key", "score", "similarity", "confidence", "stale", "reason", "signals", "snippet", "fields"],
  "properties": {
    "rank": {"type": "integer", "minimum": 1}, "store": {"type": "string"}, "key": {"$ref": "#/components/schemas/Key"},
    "score": {"type": "number"}, "similarity": {"type": ["number", "null"]}, "confidence": {"type": ["number", "null"]},
    "stale": {"type": "boolean"}, "reason": {"type": "string"},
    "signals": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
    "snippet": {"type": "string"}, "fields": {"$ref": "#/components/schemas/Fields"},
    "folded": {"type": "array", "items": {"$ref": "#/components/schemas/Key"}},
    "explain": {"type": "object", "required": ["parts", "found_by", "exact"], "properties": {
      "parts": {"type": "array", "items": {"type": "object", "required": ["signal", "value", "weight", "contribution"]}},
      "found_by": {"type": "array", "items": {"type": "string"}}, "exact": {"type": "boolean"}}}}},
"SearchResult": {"type": "object", "required": ["k", "complete", "took_ms", "stores", "hits"],
  "properties": {
    "query": {"type": "string"}, "k": {"type": "integer"}, "complete": {"type": "boolean"},
    "incomplete_reason": {"type": "string"}, "took_ms": {"type": "number"}, "confidence_note": {"type": "string"},
    "left_out": {"type": "array", "items": {"type": "string"}},
    "stores": {"type": "array", "items": {"type": "object", "required": ["store"], "properties": {
      "store": {"type": "string"}, "records": {"type": "integer"}, "path": {"type": "string"}, "recall": {"type": "number"},
      "candidates": {"type": "integer"},
      "took_ms": {"type": "number"}, "background": {"type": "number"}, "error": {"$ref": "#/components/schemas/Failure"}}}},
    "hits": {"type": "array", "items": {"$ref": "#/components/schemas/Hit"}}}},
"Store": {"type": "object", "required": ["store"], "properties": {
    "store": {"type": "string"}, "class": {"type": "string"}, "fields": {"type": "array", "items": {"type": "string"}},
    "rows": {"type": "integer"}, "fresh": {"type": "integer"}, "stale_text": {"type": "integer"}, "stale_model": {"type": "integer"},
    "missing": {"type": "integer"}, "blocked": {"type": "integer"}, "erased": {"type": "integer"}, "empty": {"type": "integer"},
    "skipped": {"type": "integer"}, "orphan": {"type": "integer"}, "oldest_lag_seconds": {"type": ["number", "null"]},
    "model": {"type": "string"}, "backend": {"type": "string"}, "index_bytes": {"type": "integer"},
    "sidecar_bytes": {"type": "integer"}, "last_backfill": {"type": ["string", "null"]}, "updated": {"type": "string"},
    "runs": {"type": "array", "items": {"type": "object", "required": ["started_at", "embedded", "wall_ms"]}},
    "error": {"$ref": "#/components/schemas/Failure"}}},
"Stores": {"type": "object", "required": ["stores"], "properties": {
    "stores": {"type": "array", "items": {"$ref": "#/components/schemas/Store"}}}},
"Record": {"type": "object", "required": ["store", "key", "fields"], "properties": {
    "store": {"type": "string"}, "key": {"$ref": "#/components/schemas/Key"}, "fields": {"$ref": "#/components/schemas/Fields"}}},
"Context": {"type": "object", "required": ["context", "session_id", "sources", "vectors", "stats", "truncated", "complete"],
  "properties": {
    "context": {"type": "string"}, "session_id": {"type": "string"},
    "sources": {"type": "array", "items": {"type": "object", "required": ["store", "key", "score", "reason", "stale", "shortened"]}},
    "vectors": {"type": "array", "items": {"type": "object", "required": ["origin", "vector_id", "score"]}},
    "stats": {"type": "object", "required": ["tokens", "prompt_tokens", "wall_time_ms"]},
    "truncated": {"type": "boolean"}, "complete": {"type": "boolean"}}},
"PatchOutcome": {"type": "object", "required": ["status", "risk_scores", "roi_deltas", "roi_delta", "filtered", "failed"]},
"Job": {"type": "object",
  "required": ["id", "status", "stores", "dry_run", "created_at", "finished_at", "running_store", "progress", "results"],
  "properties": {
    "id": {"type": "string"}, "status": {"enum": ["waiting", "running", "done", "failed", "cancelled"]},
    "stores": {"type": "array", "items": {"type": "string"}}, "dry_run": {"type": "boolean"}, "created_at": {"type": "string"},
    "finished_at": {"type": ["string", "null"]}, "running_store": {"type": ["string", "null"]},
    "progress": {"type": ["object", "null"]},
    "results": {"type": "array", "items": {"type": "object", "required": ["store", "class"]}}}},
"Jobs": {"type": "object", "required": ["jobs"], "properties": {
    "jobs": {"type": "array", "items": {"$ref": "#/components/schemas/Job"}}}},
"Model": {"type": "object", "required": ["id", "object", "created", "owned_by"], "properties": {
    "id": {"type": "string"}, "object": {"const": "model"}, "created": {"type": "integer"}, "owned_by": {"type": "string"}}},
"Models": {"type": "object", "required": ["object", "data"], "properties": {
    "object": {"const": "list"}, "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}}},
"Embeddings": {"type": "object", "required": ["object", "data", "model", "usage"], "properties": {
    "object": {"const": "list"}, "model": {"type": "string"},
    "data": {"type": "array", "items": {"type": "object", "required": ["object", "index", "embedding"], "properties": {
      "object": {"const": "embedding"}, "index": {"type": "integer"},
      "embedding": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "number"}}]}}}},
    "usage": {"type": "object", "required": ["prompt_tokens", "total_tokens"]}}},
"TeiVectors": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
"TeiInfo": {"type": "object", "required": ["model_id", "model_sha", "model_dtype", "model_type", "max_input_length", "version"]},
"Alive": {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}},
"Ready": {"type": "object", "required": ["status", "model", "stores", "failed_stores"], "properties": {
    "status": {"enum": ["ready", "not ready"]}, "model": {"type": "boolean"}, "stores": {"type": "integer"},
    "failed_stores": {"type": "integer"}}},
"Health": {"type": "object", "required": ["status", "version", "model", "stores", "failed_stores"], "properties": {
    "status": {"enum": ["ok", "degraded", "bootstrap_pending"]}, "version": {"type": "string"}, "model": {"type": "string"},
    "stores": {"type": "integer"}, "failed_stores": {"type": "object", "additionalProperties": {"type": "string"}}}}
})json";
}

}  // namespace nearlite::server
