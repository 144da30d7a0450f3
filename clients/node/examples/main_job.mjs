// Starts a service, follows it until it is READY, asks it, and stops it: node main_job.mjs [SERVER]. It takes the
// platform local-process; on a host with a GPU say "local-docker", and leave gpuMode out.

import { Client, InferenceError } from "tao-inference";

const client = new Client(process.argv[2]);
let jobId;
try {
  ({ jobId } = await client.start({
    networkArch: "tao-dataservices", modelPath: "/models/x", platform: "local-process", gpuMode: "none" }));
  await client.waitReady(jobId, { onChange: ({ phase, message }) => console.log(phase, message) });
  const body = {
    messages: [{ role: "user", content: "Say hello" }],
    max_tokens: 256, temperature: 0.2, top_p: 0.9, seed: 7, stream: true,
  };
  for await (const text of await client.streamBody(body, { jobId })) process.stdout.write(text);
  process.stdout.write("\n");
} catch (error) {
  if (!(error instanceof InferenceError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
} finally {
  if (jobId) await client.stop(jobId);
  client.close();
}
