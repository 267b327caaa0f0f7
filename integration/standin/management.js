// The nodes that answer requests: $cbs, where clients put their tokens, and $management, where they read about the hub.

import rhea from 'rhea';

import { Refusal, notFound } from './refusal.js';

const { types } = rhea;

const STRING = 0xa1; // the AMQP type code, which rhea asks for in an array
const NEVER = new Date('0001-01-01T00:00:00Z').getTime(); // the enqueued time of an empty partition

/** Answers a request that has come in on the link, on the link that the client has opened for answers. */
export function answer(broker, node, link, request) {
  const reply = link.session.find_sender((l) => l.target?.address === request.reply_to);
  reply?.send({ correlation_id: request.message_id, ...outcome(broker, node, request) });
}

function outcome(broker, node, request) {
  try {
    if (node === '$cbs') return { application_properties: status(202, 'Accepted') }; // any token will do
    return { application_properties: status(200, 'OK'), body: read(broker, request.application_properties ?? {}) };
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    const condition = { 'error-condition': types.wrap_symbol(refusal.condition) };
    return { application_properties: { ...status(refusal.status, refusal.message), ...condition } };
  }
}

// The SDKs insist on an int for the code; rhea would make it an unsigned one.
const status = (code, description) => ({ 'status-code': types.wrap_int(code), 'status-description': description });

function read(broker, { operation, type, name, partition }) {
  if (operation !== 'READ') throw new Refusal('amqp:not-implemented', `Operation '${operation}' is not supported.`, 501);
  if (!broker.isHub(String(name))) throw notFound(name);
  switch (type) {
    case 'com.microsoft:eventhub':
      return hubProperties(broker, type);
    case 'com.microsoft:partition':
      return partitionProperties(broker, type, broker.partition(partition));
    default:
      throw new Refusal('amqp:not-implemented', `Entity type '${type}' is not supported.`, 501);
  }
}

function hubProperties(broker, type) {
  const ids = broker.partitions.map((p) => p.id);
  return {
    name: broker.hub,
    type,
    created_at: types.wrap_timestamp(broker.createdAt),
    partition_count: types.wrap_int(ids.length),
    partition_ids: types.wrap_array(ids, STRING),
    georeplication_factor: types.wrap_int(1),
  };
}

function partitionProperties(broker, type, partition) {
  return {
    name: broker.hub,
    type,
    partition: partition.id,
    begin_sequence_number: types.wrap_long(0),
    last_enqueued_sequence_number: types.wrap_long(partition.lastSequence),
    last_enqueued_offset: partition.lastOffset,
    last_enqueued_time_utc: types.wrap_timestamp(partition.events.at(-1)?.time ?? NEVER),
    is_partition_empty: partition.events.length === 0,
  };
}
