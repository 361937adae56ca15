-- A load for wrk: MODE is hybrid, vector or keyword (questions of two to four words), nearest (search by a vector of VECTORS, a file with
-- one JSON list per line), one or batch (embeddings of 1 or 64 texts by MODEL); "txtai search", "txtai one", "txtai batch": the same to txtai's API.
local words = {}
for word in ([[disk printer network password upload server database invoice train garden image editor python library terminal music player
    compiler video mail game font web browser archive compression crypto key debug symbols documentation parser json xml sqlite vector search
    engine kernel driver usb bluetooth wifi monitor log rotate backup]]):gmatch("%S+") do words[#words + 1] = word end
local mode, vectors, number = os.getenv("MODE"), {}, 1

function setup(thread) thread:set("seed", number) number = number + 1 end

function init()
  math.randomseed(seed)
  if mode == "nearest" then for line in io.lines(os.getenv("VECTORS")) do vectors[#vectors + 1] = line end end
end

local function sentence(least, most)
  local parts = {}
  for i = 1, math.random(least, most) do parts[i] = words[math.random(#words)] end
  return table.concat(parts, " ")
end

local function post(path, body)
  return wrk.format("POST", path, {["Content-Type"] = "application/json", ["Host"] = "localhost"}, body)
end

function request()
  if mode == "nearest" then return post("/v1/search", '{"vector":' .. vectors[math.random(#vectors)] .. ',"k":10}') end
  if mode == "txtai search" then return wrk.format("GET", "/search?limit=10&query=" .. sentence(2, 4):gsub(" ", "%%20")) end
  if mode == "txtai one" then return wrk.format("GET", "/transform?text=" .. sentence(12, 12):gsub(" ", "%%20")) end
  if mode == "txtai batch" then
    local texts = {}
    for i = 1, 64 do texts[i] = '"' .. sentence(12, 12) .. '"' end
    return post("/batchtransform", "[" .. table.concat(texts, ",") .. "]")
  end
  if mode == "one" or mode == "batch" then
    local texts = {}
    for i = 1, mode == "one" and 1 or 64 do texts[i] = '"' .. sentence(12, 12) .. '"' end
    return post("/v1/embeddings", '{"model":"' .. os.getenv("MODEL") .. '","encoding_format":"base64","input":[' .. table.concat(texts, ",") .. "]}")
  end
  return post("/v1/search", '{"query":"' .. sentence(2, 4) .. '","k":10,"mode":"' .. mode .. '"}')
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT %.1f %.2f %.2f %d\n", summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
