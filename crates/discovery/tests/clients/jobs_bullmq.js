"use strict";
// Jobs through BullMQ: `jobs_bullmq.js worker` does them, `jobs_bullmq.js SECONDS` asks for them, each until it is taken.

const fs = require("node:fs");
const path = require("node:path");
const { setTimeout: sleep } = require("node:timers/promises");

const modules = path.join(__dirname, "../../../../target/clients/node_modules");
const { Queue, Worker } = require(require.resolve("bullmq", { paths: [modules] }));

const [host, port] = process.env.DISCOVERY.split(":");
const connection = {
  sentinels: [{ host, port: Number(port) }],
  name: process.env.GROUP,
  password: process.env.PASSWORD,
  maxRetriesPerRequest: null, // BullMQ wants it of a worker
};

async function ask(seconds) {
  const queue = new Queue("jobs", { connection });
  queue.on("error", () => {});
  const end = Date.now() + 1000 * seconds;
  let number = 0;
  while (Date.now() < end) {
    number += 1;
    for (;;) {
      try {
        await queue.add("job", { number });
        break;
      } catch {
        await sleep(20);
      }
    }
    await sleep(20);
  }
  console.log(number);
  process.exit(0);
}

if (process.argv[2] === "worker") {
  const work = async (job) => fs.appendFileSync(process.env.DONE, `${job.data.number}\n`);
  new Worker("jobs", work, { connection }).on("error", () => {});
} else {
  ask(Number(process.argv[2]));
}
