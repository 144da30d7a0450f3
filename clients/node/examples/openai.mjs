// The official openai package against the gateway: node openai.mjs [BASE_URL] [MODEL]. MODEL is a job_id, or a
// network_arch that one service has.

import OpenAI from "openai";

const [baseURL = "http://127.0.0.1:8000/v1", model = "cosmos-rl"] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none is needed" });

// cosmos-rl takes media by URL, or by a path in its container; it fetches them itself.
const messages = [
  {
    role: "user",
    content: [
      { type: "image_url", image_url: { url: "http://127.0.0.1:9000/street.jpg" } },
      { type: "text", text: "What moves?" },
    ],
  },
];
const sampling = { max_tokens: 512, temperature: 0.2, top_p: 0.9 };

const answer = await client.chat.completions.create({ model, messages, ...sampling });
console.log(answer.choices[0].message.content);

// The same as it comes. While the model loads, the SDK tries again by itself.
const stream = await client.chat.completions.create({ model, messages, ...sampling, stream: true });
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
process.stdout.write("\n");

// What is wrong with a request is said before anything runs.
try {
  await client.chat.completions.create({ model: "no-such-model", messages });
} catch (error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  console.log(error.status, error.code);
}
