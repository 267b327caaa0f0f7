// Package standin starts the stand-in for the Event Hubs endpoint in integration/standin, and speaks to it on its
// control channel: [Start] for a test, [Launch] for a program. The server is a Node program: where Node is missing,
// Start skips the test and says so.
//
// A server serves one hub whose partitions are logs in memory. It ends with the test, and also when the process that
// started it dies, since it reads its commands from a pipe that ends with it.
package standin
