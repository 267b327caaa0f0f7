import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Partition } from '../broker.js';
import { firstSelected } from '../selector.js';

const partition = new Partition('0');
for (const time of [100, 100, 200, 300]) partition.append({ sections: Buffer.alloc(44) }, time);

const annotation = (field, operator, value) => `amqp.annotation.x-opt-${field} ${operator} '${value}'`;

for (const [field, operator, value, first] of [
  ['offset', '>', '-1', 0],
  ['offset', '>=', '-1', 0],
  ['offset', '>', '0', 1],
  ['offset', '>=', '0', 0],
  ['offset', '>', '150', 2], // between two events, as after a checkpoint whose event has expired
  ['offset', '>=', '300', 3],
  ['offset', '>', '300', 4],
  ['offset', '>', '@latest', 4],
  ['offset', '>=', '@latest', 4],
  ['sequence-number', '>', '-1', 0],
  ['sequence-number', '>', '2', 3],
  ['sequence-number', '>=', '2', 2],
  ['enqueued-time', '>', '100', 2],
  ['enqueued-time', '>=', '100', 0],
  ['enqueued-time', '>=', '250', 3],
  ['enqueued-time', '>', '999', 4],
]) {
  test(`${field} ${operator} ${value} starts at ${first}`, () => {
    assert.equal(firstSelected(partition, annotation(field, operator, value)), first);
  });
}

test('no selector starts at the beginning', () => assert.equal(firstSelected(partition, undefined), 0));

for (const selector of [
  annotation('offset', '>', '301'),
  annotation('sequence-number', '>=', '4'),
  annotation('offset', '>', 'opaque'),
  annotation('offset', '<', '1'),
  'everything',
]) {
  test(`refused: ${selector}`, () => {
    assert.throws(() => firstSelected(partition, selector), { condition: 'com.microsoft:argument-error' });
  });
}
