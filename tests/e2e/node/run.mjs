// Runs one case of cases.mjs: node run.mjs CASE '{"options": {...of the SDK}, ...of the case}'. Its last
// line is {"value"} or {"error"}, and the statuses of all attempts that the SDK made.

import * as readline from "node:readline";
import OpenAI from "openai";
import * as cases from "./cases.mjs";

const [name, argument] = process.argv.slice(2);
const { options, ...passed } = JSON.parse(argument);
const attempts = [];
const client = new OpenAI({
  apiKey: "none is needed",
  ...options,
  fetch: async (...call) => {
    attempts.push(null);
    const answer = await fetch(...call);
    attempts[attempts.length - 1] = answer.status;
    return answer;
  },
});
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const began = performance.now();
let outcome;
try {
  outcome = { value: await cases[name](client, passed, () => lines.next()) };
} catch (error) {
  const kinds = ["NotFoundError", "BadRequestError", "ConflictError", "InternalServerError", "APIUserAbortError",
                 "APIConnectionTimeoutError", "APIConnectionError", "APIError"];
  outcome = {
    error: {
      class: kinds.find((kind) => error instanceof OpenAI[kind]) ?? `not of the SDK: ${error.stack}`,
      status: error.status, code: error.code, type: error.type, param: error.param, message: error.message,
      requestId: error.requestID,
    },
  };
}
console.log(JSON.stringify({ ...outcome, attempts, seconds: (performance.now() - began) / 1000 }));
process.exit(0);
