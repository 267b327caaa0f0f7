// What the service says when it does not do what a client asks. The conditions are the service's own, since the SDKs
// decide by them whether to try again; the texts follow the service's, since people search for them.

export class Refusal extends Error {
  constructor(condition, description, status = 400) {
    super(description);
    this.condition = condition;
    this.status = status; // the status code of the same refusal in a management reply
  }

  /** The refusal as an AMQP error, for a detach. */
  error() {
    return { condition: this.condition, description: this.message };
  }
}

export const notFound = (address) =>
  new Refusal('amqp:not-found', `The messaging entity '${address}' could not be found.`, 404);

export const noSuchPartition = (partitions) =>
  new Refusal(
    'com.microsoft:argument-out-of-range',
    'The specified partition is invalid for an EventHub partition sender or receiver. ' +
      `It should be between 0 and ${partitions - 1}.`,
  );

export const badSelector = (selector) =>
  new Refusal('com.microsoft:argument-error', `The filter '${selector}' is not a valid amqp filter for EventHub entities`);

export const pastTheEnd = (what, value, last) =>
  new Refusal(
    'com.microsoft:argument-error',
    `The supplied ${what} '${value}' is invalid. The last ${what} in the system is '${last}'`,
  );

export const epochPresent = (epoch) =>
  new Refusal(
    'amqp:link:stolen',
    `At least one receiver for the endpoint is created with epoch of '${epoch}', and so non-epoch receiver is not ` +
      'allowed. Either reconnect with a higher epoch, or make sure all epoch receivers are closed or disconnected.',
  );

export const epochTooLow = (name, epoch, present) =>
  new Refusal(
    'amqp:link:stolen',
    `Receiver '${present.name}' with a higher epoch '${present.epoch}' already exists. Receiver '${name}' with epoch ` +
      `${epoch} cannot be created. Make sure you are creating receiver with increasing epoch value to ensure ` +
      'connectivity, or ensure all old epoch receivers are closed or disconnected.',
  );

export const stolen = (name, epoch, by) =>
  new Refusal(
    'amqp:link:stolen',
    `New receiver '${by.name}' with higher epoch of '${by.epoch}' is created hence current receiver '${name}' with ` +
      `epoch '${epoch ?? 'nil'}' is getting disconnected. If you are recreating the receiver, make sure a higher epoch ` +
      'is used.',
  );

export const detachForced = () =>
  new Refusal('amqp:link:detach-forced', 'The link is force detached by the broker: asked for by a test.');
