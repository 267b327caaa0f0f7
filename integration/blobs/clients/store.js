// Reads or writes checkpoints as a program in JavaScript does: its arguments are the connection string, the container,
// and "read" with a group's three names, or "write" with a list of checkpoints in JSON.
import { BlobCheckpointStore } from "@azure/eventhubs-checkpointstore-blob";
import { ContainerClient } from "@azure/storage-blob";

const [connectionString, container, command, ...rest] = process.argv.slice(2);
const store = new BlobCheckpointStore(new ContainerClient(connectionString, container));
switch (command) {
  case "write":
    for (const checkpoint of JSON.parse(rest[0])) await store.updateCheckpoint(checkpoint);
    break;
  case "read":
    console.log(JSON.stringify(await store.listCheckpoints(...rest)));
    break;
  default:
    throw new Error(`"${command}" is neither read nor write`);
}
