// The registry file, which a daemon shares with other tools: for those tools, and without a daemon.
//
// A JSON object keyed by job_id, with the extra key "latest". A daemon writes the entries of its own services, lists
// those of others and routes to them. Writers exclude each other by flock on PATH.lock, and replace the file by a
// rename.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:fs";
import { open, rename, rm } from "node:fs/promises";

export const defaultPath = "/tmp/tao-inf-ms-state.json";

/** The entries by job_id. Needs no lock, since writers rename. */
export async function read(path = defaultPath) {
  const { latest, ...entries } = await content(path);
  return entries;
}

/** The job_id that was started last, for people: nothing is routed by it. */
export const latest = async (path = defaultPath) => (await content(path)).latest;

/** Adds the entry of a service, or replaces it. Without `started_at` it started now. */
export const put = (entry, path = defaultPath) => change(path, (entries) => {
  entries[entry.job_id] = { started_at: new Date().toISOString(), ...entry };
});

/** Removes an entry, if it is there. */
export const remove = (jobId, path = defaultPath) => change(path, (entries) => {
  delete entries[jobId];
});

// /tmp is everybody's: a link, or a file of another user, is not the registry.
async function content(path) {
  let file;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (error.code === "ENOENT") return {};
    throw error;
  }
  try {
    const found = await file.stat();
    if (!found.isFile() || found.uid !== process.geteuid()) throw new Error(`${path} is no regular file of this user`);
    return JSON.parse((await file.readFile("utf8")).trim() || "{}");
  } finally {
    await file.close();
  }
}

async function change(path, edit) {
  const unlock = await lock(`${path}.lock`);
  try {
    const { latest: _, ...entries } = await content(path);
    edit(entries);
    const started = Object.entries(entries).map(([name, entry]) => [entry.started_at ?? "", name]).sort();
    const text = JSON.stringify(started.length > 0 ? { ...entries, latest: started.at(-1)[1] } : entries, null, 2);
    const temporary = `${path}.${process.pid}.tmp`;
    try {
      const file = await open(temporary, "wx", 0o600);
      await file.writeFile(`${text}\n`).then(() => file.sync()).finally(() => file.close());
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
  } finally {
    await unlock();
  }
}

// Node.js has no flock: flock(1), of every Linux, holds it until its standard input ends, be it by our death.
async function lock(path) {
  const hold = 'umask 077; exec flock --exclusive "$1" sh -c "echo locked; cat"';
  const holder = spawn("sh", ["-c", hold, "sh", path], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(holder, "exit");
  await Promise.race([once(holder.stdout, "data"), ended.then(([code]) => {
    throw new Error(`cannot lock ${path}: flock ended with ${code}`);
  })]);
  return async () => {
    holder.stdin.end();
    await ended;
  };
}
