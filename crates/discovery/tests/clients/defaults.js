"use strict";
// Writes through a library of Node.js with the settings that it has by itself: it is told of the Sentinel, the group and the
// password, and of nothing else. Its line is that of the other programs, without where it wrote.

const fs = require("node:fs");
const path = require("node:path");
const { parseArgs } = require("node:util");
const { performance } = require("node:perf_hooks");
const { setTimeout: sleep } = require("node:timers/promises");

const PAUSE_AFTER_ERROR_MS = 5;
const ERROR_CHARS_MAX = 200;

const { values: wanted } = parseArgs({
  options: {
    library: { type: "string" },
    sentinel: { type: "string" },
    master: { type: "string" },
    password: { type: "string" },
    prefix: { type: "string" },
    rate: { type: "string" },
    seconds: { type: "string" },
  },
});

const modules = path.join(__dirname, "../../../../target/clients/node_modules");
const found = require.resolve(wanted.library, { paths: [modules] });
const at = path.join(modules, wanted.library, "package.json");
const { version } = JSON.parse(fs.readFileSync(at));
const library = require(found);
const [host, port] = wanted.sentinel.split(":");
const discovery = { host, port: Number(port) };
const { master, password } = wanted;

/// What writes one key.
async function connect() {
  if (wanted.library === "redis") {
    const client = library.createSentinel({
      name: master,
      sentinelRootNodes: [discovery],
      nodeClientOptions: { password },
    });
    client.on("error", () => {}); // what fails here fails a write, too
    await client.connect();
    return (key, value) => client.set(key, value);
  }
  const Redis = library.default ?? library;
  const client = new Redis({ sentinels: [discovery], name: master, password });
  client.on("error", () => {});
  return (key, value) => client.set(key, value);
}

async function main() {
  const write = await connect();
  const errors = {};
  const interval = 1000 / Number(wanted.rate);
  let [attempts, acknowledged, longestGap, number] = [0, 0, 0, 1];
  const start = performance.now();
  const end = start + 1000 * Number(wanted.seconds);
  let [last, due] = [start, start];
  while (performance.now() < end) {
    const pause = due - performance.now();
    if (pause > 0) await sleep(pause);
    attempts += 1;
    try {
      await write(`${wanted.prefix}${number}`, String(number));
    } catch (error) {
      const text = `${error.name}: ${error.message}`.slice(0, ERROR_CHARS_MAX);
      errors[text] = (errors[text] ?? 0) + 1;
      due = performance.now() + PAUSE_AFTER_ERROR_MS;
      continue;
    }
    const now = performance.now();
    longestGap = Math.max(longestGap, now - last);
    last = now;
    acknowledged += 1;
    number += 1;
    due = Math.max(due + interval, now);
  }
  const seconds = (performance.now() - start) / 1000;
  console.log(
    JSON.stringify({
      client: `${wanted.library} ${version}`,
      acknowledged,
      last_number: number - 1,
      attempts,
      failed: attempts - acknowledged,
      longest_gap_ms: longestGap,
      gap_before: null,
      primaries: [],
      errors,
      seconds,
    }),
  );
  process.exit(0);
}

main();
