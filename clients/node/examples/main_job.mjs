// Starts a service, follows it until it is READY, asks it, and stops it: node main_job.mjs [SERVER]. It takes the
// platform local-process; on a host with a GPU say "local-docker", and leave gpuMode out.

import { Client, InferenceError } from "tao-inference";

const client = new Client(process.argv[2]);
let jobId;
try {
  ({ jobId } = await client.start({
    networkArch: "tao-dataservices", modelPath: "/models/x", platform: "local-process", gpuMode: "none" }));
  await client.waitReady(jobId, { onChange: ({ phase, message }) => console.log(phase, message) });
  const sampling = { max_tokens: 256, top_p: 0.9, temperature: 0.2, seed: 7 };
  for await (const text of await client.stream("Say hello", { jobId, sampling })) process.stdout.write(text);
  process.stdout.write("\n");
} catch (error) {
  if (!(error instanceof InferenceError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
} finally {
  if (jobId) await client.stop(jobId);
  client.close();
}
