"use strict";
// Writes through ioredis, which finds the primary at a Sentinel, and tells how long writes were impossible.
//
// Every write is SET PREFIX<n> <n>, one after the other; a number is tried until it is acknowledged. Ends by itself
// after --seconds with one line of JSON on stdout. Nothing in it knows of any node: only of the Sentinel.

const fs = require("node:fs");
const path = require("node:path");
const { parseArgs } = require("node:util");
const { performance } = require("node:perf_hooks");
const { setTimeout: sleep } = require("node:timers/promises");

const PAUSE_AFTER_ERROR_MS = 5;
const RECONNECT_MS = 20;
const ERROR_CHARS_MAX = 200;

const { values: wanted } = parseArgs({
  options: {
    sentinel: { type: "string", multiple: true },
    master: { type: "string" },
    rate: { type: "string", default: "200" },
    seconds: { type: "string", default: "10" },
    prefix: { type: "string", default: "seq:" },
    first: { type: "string", default: "1" },
    "timeout-ms": { type: "string", default: "1000" },
    resp: { type: "string", default: "2" },
    password: { type: "string" },
    "sentinel-password": { type: "string" },
    "sentinel-ca": { type: "string" },
  },
});
if (!wanted.sentinel || !wanted.master) {
  console.error("usage: ioredis.js --sentinel HOST:PORT --master GROUP [--rate N] [--seconds N] [...]");
  process.exit(2);
}

// Where scripts/clients put the library; NODE_PATH works, too.
const modules = path.join(__dirname, "../../../../target/clients/node_modules");
const library = require.resolve("ioredis", { paths: [modules, __dirname] });
const Redis = require(library);
const { version } = JSON.parse(fs.readFileSync(path.join(path.dirname(library), "../package.json")));

const timeout = Number(wanted["timeout-ms"]);
const ca = wanted["sentinel-ca"];
const redis = new Redis({
  sentinels: wanted.sentinel.map((address) => {
    const at = address.lastIndexOf(":");
    return { host: address.slice(0, at), port: Number(address.slice(at + 1)) };
  }),
  name: wanted.master,
  password: wanted.password,
  sentinelPassword: wanted["sentinel-password"],
  sentinelTLS: ca ? { ca: fs.readFileSync(ca) } : undefined,
  protocol: Number(wanted.resp),
  connectTimeout: timeout,
  commandTimeout: timeout,
  sentinelCommandTimeout: timeout,
  retryStrategy: () => RECONNECT_MS,
  sentinelRetryStrategy: () => RECONNECT_MS,
  // Every error is to be seen here.
  maxRetriesPerRequest: 0,
  // Listens to +switch-master and leaves the old primary at once.
  failoverDetector: true,
  // A frozen primary never says goodbye: don't wait for it.
  disconnectTimeout: 100,
  // A primary that was made a replica: leave it and ask again.
  reconnectOnError: (error) => error.message.startsWith("READONLY"),
});
redis.on("error", () => {}); // what fails here fails a write, too
let finished = false;
// Where +switch-master comes in while the library is asking for the primary, the failover detector ends that, and the
// library gives up for good. An application has to call connect() again, as here.
redis.on("end", () => {
  if (!finished) redis.connect().catch(() => {});
});

async function main() {
  const errors = {};
  const primaries = [];
  const interval = 1000 / Number(wanted.rate);
  let attempts = 0;
  let acknowledged = 0;
  let longestGap = 0;
  let gapBefore = null;
  let number = Number(wanted.first);
  const start = performance.now();
  const end = start + 1000 * Number(wanted.seconds);
  let last = start;
  let due = start;
  while (performance.now() < end) {
    const pause = due - performance.now();
    if (pause > 0) await sleep(pause);
    attempts += 1;
    try {
      await redis.set(`${wanted.prefix}${number}`, number);
    } catch (error) {
      const text = `${error.name}: ${error.message}`.slice(0, ERROR_CHARS_MAX);
      errors[text] = (errors[text] ?? 0) + 1;
      due = performance.now() + PAUSE_AFTER_ERROR_MS;
      continue;
    }
    const now = performance.now();
    if (acknowledged > 0 && now - last > longestGap) {
      longestGap = now - last;
      gapBefore = number;
    }
    last = now;
    acknowledged += 1;
    number += 1;
    due = Math.max(due + interval, now);
    const stream = redis.stream;
    const primary = `${stream?.remoteAddress}:${stream?.remotePort}`;
    if (primaries.at(-1) !== primary) primaries.push(primary);
  }
  const ended = performance.now();
  if (ended - last > longestGap) {
    longestGap = ended - last;
    gapBefore = number;
  }
  console.log(
    JSON.stringify({
      client: `ioredis ${version}`,
      acknowledged,
      last_number: number - 1,
      attempts,
      failed: attempts - acknowledged,
      longest_gap_ms: Math.round(longestGap * 10) / 10,
      gap_before: gapBefore,
      primaries,
      errors,
      seconds: Math.round(ended - start) / 1000,
    }),
  );
  finished = true;
  redis.disconnect();
  process.exitCode = acknowledged > 0 ? 0 : 1;
}

main();
