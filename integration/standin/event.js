// One event of a partition, and its form on the wire.

import rhea from 'rhea';

const { message, types } = rhea;

// The AMQP message sections that are handled here, by their descriptors.
const HEADER = 0x70;
const DELIVERY_ANNOTATIONS = 0x71;
const MESSAGE_ANNOTATIONS = 0x72;
const APPLICATION_PROPERTIES = 0x74;
const DATA = 0x75;

const PARTITION_KEY = 'x-opt-partition-key';

export class Event {
  #encoded;

  /** sections: the encoded message without header and annotations. */
  constructor({ sequence, offset, time, key, sections }) {
    Object.assign(this, { sequence, offset, time, key, sections });
  }

  /**
   * The encoded message with the service's annotations. Encoded at the first delivery and kept: several receivers
   * read the same event, and most preloaded events of a short test are read by none.
   */
  encoded() {
    this.#encoded ??= Buffer.concat([this.#annotations(), this.sections]);
    return this.#encoded;
  }

  #annotations() {
    const annotations = {
      'x-opt-sequence-number': types.wrap_long(this.sequence),
      'x-opt-offset': types.wrap_string(this.offset),
      'x-opt-enqueued-time': types.wrap_timestamp(this.time),
    };
    if (this.key !== undefined) annotations[PARTITION_KEY] = types.wrap_string(this.key);
    return section(MESSAGE_ANNOTATIONS, types.wrap_symbolic_map(annotations));
  }
}

/** The sections of a generated event: its body tells where it belongs, so that a test can tell what is missing. */
export function generated(partition, n, bodySize) {
  let body = JSON.stringify({ partition, n });
  if (body.length < bodySize) {
    const room = bodySize - body.length - ',"pad":""'.length;
    body = JSON.stringify({ partition, n, pad: 'x'.repeat(Math.max(room, 0)) });
  }
  const data = section(DATA, types.wrap_binary(Buffer.from(body)));
  if (n % 10 !== 0) return data;
  const properties = { source: 'standin', tens: types.wrap_long(n / 10) };
  return Buffer.concat([section(APPLICATION_PROPERTIES, types.wrap_map(properties)), data]);
}

/**
 * The events in a message from a producer, each {key, sections}. The sections are cut out of the message and not decoded
 * and encoded again, so that types, which JavaScript does not know all of, arrive as they were sent.
 */
export function received(delivered, format) {
  if (!format) return [cut(message.encode(delivered))]; // rhea has decoded it already
  const batch = message.decode(delivered);
  const content = batch.body.multiple ? batch.body.content : [batch.body.content];
  const key = batch.message_annotations?.[PARTITION_KEY];
  return content.map(cut).map((event) => ({ ...event, key: event.key ?? key }));
}

function cut(buffer) {
  const reader = new types.Reader(buffer);
  const kept = [];
  let key;
  while (reader.remaining()) {
    const start = reader.position;
    const read = reader.read();
    const code = read.descriptor.value;
    if (code === MESSAGE_ANNOTATIONS) key = types.unwrap_map_simple(read)[PARTITION_KEY];
    else if (code !== HEADER && code !== DELIVERY_ANNOTATIONS) kept.push(buffer.subarray(start, reader.position));
  }
  return { key, sections: Buffer.concat(kept) };
}

function section(code, value) {
  const writer = new types.Writer();
  writer.write(types.described(types.wrap_ulong(code), value));
  return writer.toBuffer();
}
