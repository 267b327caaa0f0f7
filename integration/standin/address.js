// What a link's address names.

import { notFound } from './refusal.js';

const HUB = /^([^/]+)(?:\/Partitions\/([^/]+))?$/i;
const RECEIVER = /^([^/]+)\/ConsumerGroups\/([^/]+)\/Partitions\/([^/]+)$/i;
const MANAGEMENT = /^(?:([^/]+)\/)?\$management$/i; // some clients leave the hub out: each request names it

/** The node that requests are sent to and answers come from: '$cbs', '$management', or undefined. */
export function requestNode(broker, address) {
  if (address === '$cbs') return '$cbs';
  const match = MANAGEMENT.exec(bare(address));
  if (!match) return undefined;
  if (match[1] !== undefined && !broker.isHub(match[1])) throw notFound(address);
  return '$management';
}

/** The partition and group that a receiver reads. Every consumer group exists. */
export function receiverNode(broker, address) {
  const match = RECEIVER.exec(bare(address));
  if (!match || !broker.isHub(match[1])) throw notFound(address);
  return { group: match[2].toLowerCase(), partition: broker.partition(match[3]) };
}

/** The partition that a producer's link sends to, or undefined if the hub chooses for each message. */
export function producerNode(broker, address) {
  const match = HUB.exec(bare(address));
  if (!match || !broker.isHub(match[1])) throw notFound(address);
  return match[2] === undefined ? undefined : broker.partition(match[2]);
}

// Some clients give the whole URL.
function bare(address) {
  return String(address ?? '').replace(/^[a-z]+:\/\/[^/]+/i, '').replace(/^\//, '');
}
