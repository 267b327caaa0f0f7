// The selector that a receiver attaches with, which says where in the partition it starts.

import { badSelector, pastTheEnd } from './refusal.js';

const NAME = 'apache.org:selector-filter:string';
const SYNTAX = /^amqp\.annotation\.x-opt-(offset|sequence-number|enqueued-time)\s*(>=?)\s*'([^']*)'$/;
const INTEGER = /^-?\d+$/;

/** The selector's text in a link's source, or undefined. */
export function selectorOf(source) {
  const filter = source?.filter?.[NAME];
  return filter?.value ?? filter;
}

/**
 * The sequence number of the first event that the selector lets through.
 * Without a selector a receiver starts at the beginning, as at the service.
 */
export function firstSelected(partition, selector) {
  if (selector === undefined || selector === null) return 0;
  const match = SYNTAX.exec(selector);
  if (!match) throw badSelector(selector);
  const [, field, operator, text] = match;
  if (field === 'offset' && text === '@latest') return partition.events.length;
  if (!INTEGER.test(text)) throw badSelector(selector);
  const value = Number(text);
  // Checkpoints of a hub that has been deleted and made again point past its end: the service refuses them.
  if (field === 'offset' && value > Number(partition.lastOffset)) {
    throw pastTheEnd('offset', text, partition.lastOffset);
  }
  if (field === 'sequence-number' && value > partition.lastSequence) {
    throw pastTheEnd('sequence number', text, partition.lastSequence);
  }
  const key = { offset: (e) => Number(e.offset), 'sequence-number': (e) => e.sequence, 'enqueued-time': (e) => e.time };
  return lowerBound(partition.events, key[field], operator === '>' ? value + 1 : value);
}

/** The index of the first event whose key is at least value. All three keys rise along a partition. */
function lowerBound(events, key, value) {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (key(events[middle]) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
