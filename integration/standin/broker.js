// The hub: its partitions, each a log in memory. Nothing is ever removed, so an event's index is its sequence number.

import { createHash } from 'node:crypto';

import { Event, generated } from './event.js';
import { noSuchPartition } from './refusal.js';

// Offsets at the service count bytes, and are not sequence numbers times something: who confuses the two must fail here.
const EVENT_OVERHEAD = 56;

export class Partition {
  constructor(id) {
    this.id = id;
    this.events = [];
    this.end = 0; // the next event's offset
    this.readers = new Set(); // receivers to be told of new events
    this.sent = 0;
    this.steals = 0;
  }

  get lastSequence() {
    return this.events.length - 1;
  }

  get lastOffset() {
    return this.events.at(-1)?.offset ?? '-1';
  }

  append({ key, sections }, time = Date.now()) {
    const event = new Event({
      sequence: this.events.length,
      offset: String(this.end),
      time: Math.max(time, this.events.at(-1)?.time ?? 0), // enqueued times never go back, whatever the clock does
      key,
      sections,
    });
    this.end += sections.length + EVENT_OVERHEAD;
    this.events.push(event);
  }

  announce() {
    for (const reader of this.readers) reader.pump();
  }
}

export class Broker {
  #cursor = 0;

  constructor({ hub, partitions, bodySize }) {
    this.hub = hub;
    this.bodySize = bodySize;
    this.createdAt = Date.now();
    this.partitions = [];
    this.grow(partitions);
  }

  /** Adds partitions until there are so many. A hub never loses any. */
  grow(partitions) {
    while (this.partitions.length < partitions) this.partitions.push(new Partition(String(this.partitions.length)));
  }

  /** Names of Event Hubs ignore case. */
  isHub(name) {
    return name.toLowerCase() === this.hub.toLowerCase();
  }

  partition(id) {
    const partition = this.partitions.find((p) => p.id === id);
    if (!partition) throw noSuchPartition(this.partitions.length);
    return partition;
  }

  /** The partition for a producer's message: by its key (not by the service's hash), or the next in turn. */
  choose(key) {
    const n = key === undefined ? this.#cursor++ : createHash('sha1').update(String(key)).digest().readUInt32BE();
    return this.partitions[n % this.partitions.length];
  }

  /** Events that lie there from the start, one a millisecond until now, so that enqueued times tell them apart. */
  preload(count) {
    for (let i = 0; i < count; i++) this.#generate(this.choose(), this.createdAt - (count - i));
  }

  /** Appends generated events, to one partition or in turn to all. */
  generate(count, id) {
    const only = id === undefined ? undefined : this.partition(id);
    const touched = new Set();
    for (let i = 0; i < count; i++) {
      const partition = only ?? this.choose();
      this.#generate(partition);
      touched.add(partition);
    }
    for (const partition of touched) partition.announce();
  }

  #generate(partition, time) {
    partition.append({ sections: generated(partition.id, partition.events.length, this.bodySize) }, time);
  }
}
