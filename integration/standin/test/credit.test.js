// Credit and drain, by a client that has them in its own hands; the SDKs drain too rarely to show it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';

import rhea from 'rhea';

import { Broker } from '../broker.js';
import { Endpoint } from '../links.js';

const broker = new Broker({ hub: 'orders', partitions: 1, bodySize: 0 });
broker.preload(5);
const endpoint = new Endpoint(broker);
const port = await endpoint.listen(0);
const connection = rhea.create_container().connect({ port, reconnect: false });
after(() => {
  connection.close();
  endpoint.close();
});

async function receiver() {
  const link = connection.open_receiver({
    source: 'orders/ConsumerGroups/$Default/Partitions/0',
    credit_window: 0,
    autoaccept: false,
  });
  link.got = 0;
  link.on('message', () => link.got++);
  await once(link, 'receiver_open');
  return link;
}

async function drained(link) {
  link.drain_credit();
  await once(link, 'receiver_drained');
  link.drain = false;
  return link.got;
}

test('no more than the credit is sent, and a drain is answered when none is left', async () => {
  const link = await receiver();
  link.add_credit(3);
  while (link.got < 3) await once(link, 'message');
  assert.equal(await drained(link), 3);
  assert.equal(broker.partitions[0].sent, 3);
});

test('a drain sends what is there and gives the rest of the credit back', async () => {
  const link = await receiver();
  link.add_credit(8);
  assert.equal(await drained(link), 5);
  broker.generate(2);
  assert.equal(await drained(link), 5, 'events appended after the drain need new credit');
  link.add_credit(1);
  await once(link, 'message');
  assert.equal(await drained(link), 6);
});
