// Links that clients send events on.

import { producerNode } from './address.js';
import { received } from './event.js';

// The limit of the service's standard tier. Clients size their batches by it.
const MAX_MESSAGE_SIZE = 1024 * 1024;

export class Producers {
  #broker;

  constructor(broker) {
    this.#broker = broker;
  }

  /** Accepts the link or throws a Refusal. */
  attach(link) {
    const fixed = producerNode(this.#broker, link.target?.address);
    link.local.attach.max_message_size = MAX_MESSAGE_SIZE;
    return ({ message, delivery }) => {
      const events = received(message, delivery.format);
      // A batch is one message to the service: all of it goes to one partition.
      const partition = fixed ?? this.#broker.choose(events[0]?.key);
      for (const event of events) partition.append(event);
      partition.announce();
    };
  }
}
