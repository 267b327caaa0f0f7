// The control channel for tests: one JSON command a line on stdin, one JSON answer a line on stdout, in the same order.
//
//   {"command": "append", "count": 10, "partition": "3"}   without a partition: in turn to all
//   {"command": "grow", "partitions": 8}                   to so many partitions in all
//   {"command": "stats"}
//   {"command": "receivers"}                               who is attached, with which epoch
//   {"command": "detach"}                                  every receiver's link, with amqp:link:detach-forced
//   {"command": "drop"}                                    every connection, without a word
//   {"command": "stop"}

import { createInterface } from 'node:readline';

export function control(broker, endpoint) {
  const commands = {
    append({ count, partition }) {
      broker.generate(count, partition);
    },
    grow({ partitions }) {
      broker.grow(partitions);
    },
    stats() {
      return { partitions: broker.partitions.map((p) => partitionStats(p)) };
    },
    receivers() {
      return { receivers: endpoint.receivers() };
    },
    detach() {
      return { links: endpoint.detachReceivers() };
    },
    drop() {
      return { connections: endpoint.dropConnections() };
    },
    stop() {
      setImmediate(() => process.exit(0));
    },
  };

  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    let answer;
    try {
      const { command, ...parameters } = JSON.parse(line);
      if (!Object.hasOwn(commands, command)) throw new Error(`unknown command: ${command}`);
      answer = commands[command](parameters) ?? {};
    } catch (error) {
      answer = { error: error.message };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  });
  // The parent holds the other end of stdin: when it stops or dies, however it dies, this is the end of it here too.
  lines.on('close', () => process.exit(0));
}

function partitionStats(partition) {
  return {
    id: partition.id,
    last_sequence_number: partition.lastSequence,
    sent: partition.sent,
    links: partition.readers.size,
    steals: partition.steals,
  };
}
