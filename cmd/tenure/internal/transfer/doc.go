// Package transfer reads and writes checkpoints as lines of JSON, each an object on its own, so that they can be kept,
// looked through, changed by scripts, and put back:
//
//	{"group":"local/orders/billing","partition":"7","sequence_number":41,"offset":"8589934592","owner_id":"pod-2"}
//
// At least one of sequence_number and offset is needed; absent, zero and empty are three things, as in the wire format.
// owner_id and last_modified_time are for people. A file is read as a whole before anything is done with it.
package transfer
