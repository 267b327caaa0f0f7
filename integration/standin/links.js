// The AMQP endpoint: takes connections, and gives each link to the part that serves its address.

import rhea from 'rhea';

import { requestNode } from './address.js';
import { answer } from './management.js';
import { Producers } from './producers.js';
import { Receivers } from './receivers.js';
import { Refusal, detachForced } from './refusal.js';

// The most that an SDK lets its users prefetch on a link is 5,000; each event takes a place until it is written.
const SESSION_BUFFER = { outgoing: 8192, incoming: 2048 };

export class Endpoint {
  #broker;
  #receivers;
  #producers;
  #connections = new Set();
  #server;

  constructor(broker) {
    this.#broker = broker;
    this.#receivers = new Receivers(broker);
    this.#producers = new Producers(broker);
  }

  /** Listens on the loopback address, and resolves to the port. */
  listen(port) {
    const container = rhea.create_container({ id: 'standin' });
    container.sasl_server_mechanisms.enable_anonymous();
    this.#handle(container);
    this.#server = container.listen({
      host: '127.0.0.1',
      port,
      session_buffer_size: SESSION_BUFFER,
      tcp_no_delay: true,
    });
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.once('listening', () => resolve(this.#server.address().port));
    });
  }

  /** Takes no more connections. */
  close() {
    this.#server.close();
  }

  /** Who is attached. */
  receivers() {
    return this.#receivers.all.map(({ partition, group, name, epoch }) => ({ partition: partition.id, group, name, epoch }));
  }

  /** Ends every receiver's link as the service does when it moves a partition. */
  detachReceivers() {
    const readers = this.#receivers.all;
    for (const reader of readers) this.#receivers.detach(reader, detachForced());
    return readers.length;
  }

  /** Cuts every connection without a word. */
  dropConnections() {
    const connections = [...this.#connections];
    for (const connection of connections) {
      connection.abort_socket(connection.socket);
      this.#gone(connection);
    }
    return connections.length;
  }

  #handle(container) {
    const receivers = this.#receivers;
    container.on('connection_open', ({ connection }) => this.#connections.add(connection));
    container.on('receiver_open', ({ receiver }) => attach(receiver, () => this.#attachIncoming(receiver)));
    container.on('sender_open', ({ sender }) => attach(sender, () => this.#attachOutgoing(sender)));
    container.on('message', (context) => context.receiver.deliver?.(context));
    container.on('sendable', ({ sender }) => receivers.flow(sender));
    container.on('sender_draining', ({ sender }) => receivers.drain(sender));
    container.on('sender_close', ({ sender }) => receivers.forget((link) => link === sender));
    container.on('session_close', ({ session }) => receivers.forget((link) => link.session === session));
    container.on('connection_close', ({ connection }) => this.#gone(connection));
    container.on('disconnected', ({ connection }) => this.#gone(connection));
    // Clients may go as they like. rhea ends the process over an error that nobody listens to.
    for (const event of ['sender_error', 'receiver_error', 'session_error', 'connection_error']) {
      container.on(event, () => {});
    }
    for (const event of ['error', 'protocol_error']) {
      container.on(event, (error) => console.error(error?.stack ?? error));
    }
  }

  // A link that the client sends on: requests, or events.
  #attachIncoming(link) {
    const node = requestNode(this.#broker, link.target?.address);
    link.deliver = node
      ? ({ message }) => answer(this.#broker, node, link, message)
      : this.#producers.attach(link);
  }

  // A link that the client receives on: answers, or events.
  #attachOutgoing(link) {
    if (!requestNode(this.#broker, link.source?.address)) this.#receivers.attach(link);
  }

  #gone(connection) {
    this.#connections.delete(connection);
    this.#receivers.forget((link) => link.connection === connection);
  }
}

// A link that is refused is attached without source and target and detached at once, as the standard has it. One that is
// accepted has what the client asked for confirmed: the SDKs refuse a link whose settle modes differ from theirs.
function attach(link, accept) {
  try {
    accept();
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    link.close(refusal.error());
    return;
  }
  const { attach: local } = link.local;
  if (link.snd_settle_mode !== undefined && link.snd_settle_mode !== null) local.snd_settle_mode = link.snd_settle_mode;
  if (link.rcv_settle_mode !== undefined && link.rcv_settle_mode !== null) local.rcv_settle_mode = link.rcv_settle_mode;
  link.set_source({ address: link.source?.address, filter: link.source?.filter });
  link.set_target({ address: link.target?.address });
}
