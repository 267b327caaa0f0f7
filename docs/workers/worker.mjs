#!/usr/bin/env node
// Handles the lines of a file that grows, $EVENTS/<partition>: prints each, once, from where the last worker stopped.
//
//     EVENTS=/var/events tenure run --dev --group orders/billing --partition-ids a,b,c -- docs/workers/worker.mjs

import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import readline from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

let draining = false;
process.on("SIGTERM", () => { draining = true; });

const pipe = new net.Socket({ fd: 4, readable: true, writable: false });
const answers = readline.createInterface({ input: pipe })[Symbol.asyncIterator]();

// Reports up to which byte the file has been handled and waits for the answer.
async function checkpoint(offset) {
  fs.writeSync(3, JSON.stringify({ offset: String(offset) }) + "\n");
  const { value = "not answered" } = await answers.next();
  if (!value.startsWith("durable ")) throw new Error(`the checkpoint is ${value}`);
}

// Returns the lines that are complete, as bytes with their ends.
function* lines(file, offset) {
  const chunk = Buffer.alloc(64 * 1024);
  const bytes = chunk.subarray(0, fs.readSync(file, chunk, 0, chunk.length, offset));
  for (let start = 0, end; (end = bytes.indexOf("\n", start) + 1) > 0; start = end) yield bytes.subarray(start, end);
}

const events = fs.openSync(path.join(process.env.EVENTS, process.env.TENURE_WORKER_PARTITION));
let offset = Number(process.env.TENURE_WORKER_OFFSET ?? 0);
while (!draining) {
  const before = offset;
  for (const event of lines(events, offset)) {
    process.stdout.write(event);
    offset += event.length;
    await checkpoint(offset);
    if (draining) break;
  }
  if (offset === before) await sleep(100);
}
pipe.destroy();
