#!/bin/sh
# Handles the lines of a file that grows, $EVENTS/<partition>: prints each, once, from where the last worker stopped.
#
#     EVENTS=/var/events tenure run --dev --group orders/billing --partition-ids a,b,c -- docs/workers/worker.sh
set -eu

draining=
trap 'draining=yes' TERM

# checkpoint NUMBER reports how many lines have been handled and waits for the answer.
checkpoint() {
	printf '{"sequence_number":%d}\n' "$1" >&3
	# SIGTERM may cut the first read short.
	read -r outcome line reason <&4 || read -r outcome line reason <&4 || exit 1
	[ "$outcome" = durable ] || { echo "the checkpoint is $outcome: $reason" >&2; exit 1; }
}

file=$EVENTS/$TENURE_WORKER_PARTITION
handled=${TENURE_WORKER_SEQUENCE_NUMBER:-0}
while [ -z "$draining" ]; do
	if [ "$(wc -l <"$file")" -le "$handled" ]; then
		# In the background, so that a signal ends the wait; without descriptor 3, whose end is waited for.
		sleep 0.2 3>&- & wait $! || true
		continue
	fi
	handled=$((handled + 1))
	sed -n "${handled}p" "$file"
	checkpoint "$handled"
done
