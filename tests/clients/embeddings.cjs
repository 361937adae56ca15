// OpenAI's client for Node against a running service: node embeddings.cjs PORT MODEL, one JSON object on stdout.
const OpenAI = require("openai").default;

const [port, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: "unused", maxRetries: 0 });

async function refusal(body) {
  try {
    await client.embeddings.create(body);
    return null;
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, param: error.param, type: error.type };
  }
}

(async () => {
  // Without encoding_format the client asks for base64 and unpacks it.
  const asked = await client.embeddings.create({ model, input: ["Disk full", "Tomato soup"] });
  const floats = await client.embeddings.create({ model, input: "Disk full", encoding_format: "float" });
  const short = await client.embeddings.create({ model, input: "Disk full", dimensions: 64 });
  const batch = await client.embeddings.create({ model, input: Array.from({ length: 200 }, (_, i) => `text number ${i}`) });
  const models = [];
  for await (const one of client.models.list()) models.push(one.id);
  console.log(JSON.stringify({
    vectors: asked.data.map((item) => Array.from(item.embedding)),
    floats: floats.data[0].embedding,
    short: short.data[0].embedding.length,
    order: batch.data.every((item, i) => item.index === i && item.embedding.length === 384),
    usage: asked.usage,
    models,
    model: (await client.models.retrieve(model)).id,
    refusals: {
      model: await refusal({ model: "other", input: "a" }),
      empty: await refusal({ model, input: "" }),
      tokens: await refusal({ model, input: [1, 2, 3] }),
      dimensions: await refusal({ model, input: "a", dimensions: 5000 }),
      many: await refusal({ model, input: Array(2049).fill("a") }),
    },
  }));
})();
