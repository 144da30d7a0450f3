// Runs one case of cases.mjs against a daemon: node run.mjs CASE SERVER '{...of the case}'. Its last line is {"value"},
// or {"error"} with all that programs look at.

import { Client, InferenceError } from "tao-inference";
import * as cases from "./cases.mjs";

const [name, server, passed] = process.argv.slice(2);
const client = new Client(server);
let outcome;
try {
  outcome = { value: await cases[name](client, JSON.parse(passed)) };
} catch (error) {
  const { code, reason, message, violations, candidates, retryAfterMs, service } = error;
  outcome = { error: { class: error.name, code, reason, message, violations, candidates, retryAfterMs, service,
                       ours: error instanceof InferenceError } };
}
client.close();
console.log(JSON.stringify(outcome));
