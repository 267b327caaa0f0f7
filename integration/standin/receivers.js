// Links that clients receive from: where they start, how much they get, and who may hold a partition.

import { receiverNode } from './address.js';
import { epochPresent, epochTooLow, stolen } from './refusal.js';
import { firstSelected, selectorOf } from './selector.js';

const UNSETTLED = 0; // the sender settle mode of a client that settles each event itself

class Reader {
  constructor(link, { group, partition }) {
    this.link = link;
    this.group = group;
    this.partition = partition;
    this.name = link.properties?.['com.microsoft:receiver-name'] ?? 'nil';
    const epoch = link.properties?.['com.microsoft:epoch'];
    this.epoch = epoch === undefined || epoch === null ? undefined : Number(epoch);
    this.next = firstSelected(partition, selectorOf(link.source));
  }

  /** Sends what there is, as far as the link's credit goes. */
  pump() {
    const { link, partition } = this;
    const room = this.#room();
    const end = Math.min(this.next + room, partition.events.length);
    if (this.next < end) cork(link.connection.socket);
    for (; this.next < end; this.next++) {
      const delivery = link.send(partition.events[this.next].encoded(), undefined, 0);
      delivery.settled = link.snd_settle_mode !== UNSETTLED;
      partition.sent++;
    }
  }

  // rhea queues what it is given and takes the credit off only when it writes, so what waits is counted off here.
  #room() {
    const { outgoing } = this.link.session;
    const waiting = outgoing.next_delivery_id - outgoing.next_pending_delivery;
    return Math.max(0, Math.min(this.link.credit - waiting, outgoing.available()));
  }
}

export class Receivers {
  #broker;
  #readers = new Map(); // by link

  constructor(broker) {
    this.#broker = broker;
  }

  get all() {
    return [...this.#readers.values()];
  }

  /** Accepts the link or throws a Refusal. */
  attach(link) {
    const reader = new Reader(link, receiverNode(this.#broker, link.source?.address));
    this.#makeWay(reader);
    this.#readers.set(link, reader);
    reader.partition.readers.add(reader);
    answerDrains(link);
  }

  /** The link has credit, or is asked to use it up. */
  flow(link) {
    this.#readers.get(link)?.pump();
  }

  drain(link) {
    link.set_drained(true);
  }

  /** Forgets the links that have gone: one link, or all of a session or a connection. */
  forget(gone) {
    for (const reader of this.all) {
      if (gone(reader.link)) this.#remove(reader);
    }
  }

  detach(reader, reason) {
    this.#remove(reader);
    reader.link.close(reason.error());
  }

  // The service's rules for exclusive receivers. An epoch of 0 is an epoch.
  #makeWay(reader) {
    const others = this.all.filter((r) => r.partition === reader.partition && r.group === reader.group);
    const holder = others.find((r) => r.epoch !== undefined);
    if (reader.epoch === undefined) {
      if (holder) throw epochPresent(holder.epoch);
      return;
    }
    if (holder && holder.epoch > reader.epoch) throw epochTooLow(reader.name, reader.epoch, holder);
    for (const other of others) {
      this.detach(other, stolen(other.name, other.epoch, reader));
      reader.partition.steals++;
    }
  }

  #remove(reader) {
    this.#readers.delete(reader.link);
    reader.partition.readers.delete(reader);
  }
}

// rhea writes each event's frame to the socket by itself; collected, they leave in few system calls.
function cork(socket) {
  if (socket.writableCorked) return;
  socket.cork();
  setImmediate(() => socket.uncork());
}

// rhea answers a drain only while credit is left, so a client that drains what has just been used up would wait for ever.
function answerDrains(link) {
  link._get_drain = function () {
    if (!this._draining) return false;
    this.delivery_count += this.credit;
    this.credit = 0;
    return true;
  };
}
