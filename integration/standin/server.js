// A stand-in for the Event Hubs endpoint. See README.md.

import { parseArgs } from 'node:util';

import { Broker } from './broker.js';
import { control } from './control.js';
import { Endpoint } from './links.js';

const USAGE = `usage: node server.js [options]
  --hub NAME          the event hub's name (orders)
  --partitions N      its partitions (4)
  --port N            port to listen on, 0 for any that is free (5672)
  --events N          events that are there from the start, over all partitions (0)
  --append-rate R     events a second that are appended, over all partitions (0)
  --body-size B       bytes of a generated event's body, at least (0)
  --serve             for people: prints the connection string and needs no stdin
  --help              this text`;

const APPEND_INTERVAL = 20; // ms

const { values } = arguments_();
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const number = (name) => {
  const n = Number(values[name]);
  if (!Number.isInteger(n) || n < 0) fail(`--${name} must be a whole number`);
  return n;
};

const broker = new Broker({
  hub: values.hub,
  partitions: number('partitions') || fail('--partitions must be at least 1'),
  bodySize: number('body-size'),
});
broker.preload(number('events'));
const endpoint = new Endpoint(broker);
const port = await endpoint.listen(number('port')).catch((error) => {
  console.error(
    error.code === 'EADDRINUSE'
      ? `port ${values.port} is in use; choose another with --port`
      : `cannot listen on port ${values.port}: ${error.message}`,
  );
  process.exit(1);
});
appendAt(number('append-rate'));

if (values.serve) {
  console.log(
    `Event hub ${broker.hub} with ${broker.partitions.length} partitions, on an endpoint of its own. Stop it with Ctrl-C.\n\n` +
      `export EVENTHUB_CONNECTION_STRING='Endpoint=sb://localhost:${port};SharedAccessKeyName=n;SharedAccessKey=k;` +
      `EntityPath=${broker.hub};UseDevelopmentEmulator=true'`,
  );
} else {
  process.stdout.write(`${JSON.stringify({ port })}\n`);
  control(broker, endpoint);
}

/** Appends by the time that has passed, so that a late timer loses nothing. */
function appendAt(rate) {
  if (rate === 0) return;
  const start = process.hrtime.bigint();
  let appended = 0;
  setInterval(() => {
    const due = Math.floor((Number(process.hrtime.bigint() - start) / 1e9) * rate) - appended;
    broker.generate(due);
    appended += due;
  }, APPEND_INTERVAL);
}

function arguments_() {
  const text = (value) => ({ type: 'string', default: value });
  try {
    return parseArgs({
      options: {
        hub: text('orders'),
        partitions: text('4'),
        port: text('5672'),
        events: text('0'),
        'append-rate': text('0'),
        'body-size': text('0'),
        serve: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    return fail(error.message);
  }
}

function fail(message) {
  console.error(`${message}\n${USAGE}`);
  process.exit(2);
}
