package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// BenchmarkList has a large group listed, and reports how long that takes beyond reading its records from etcd.
func BenchmarkList(b *testing.B) {
	const partitions, members = 10_000, 200
	etcd := etcdtest.Start(b, etcdtest.Defaults)
	client := etcd.Client(b)
	granted, err := client.Grant(b.Context(), 3600)
	require.NoError(b, err)
	const group = "/tenure/v1/local/orders/billing/"
	var ops []clientv3.Op
	send := func() {
		_, err := client.Txn(b.Context()).Then(ops...).Commit()
		require.NoError(b, err)
		ops = nil
	}
	put := func(key, value string, options ...clientv3.OpOption) {
		if ops = append(ops, clientv3.OpPut(group+key, value, options...)); len(ops) == 100 {
			send()
		}
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	for i := range members {
		put("member/pod-"+strconv.Itoa(i), fmt.Sprintf(`{"owner_id":"pod-%d","weight":1,"started_at":%q}`, i, now),
			clientv3.WithLease(granted.ID))
	}
	ids := make([]string, partitions)
	for i := range partitions {
		ids[i] = strconv.Quote(strconv.Itoa(i))
		put("ownership/"+strconv.Itoa(i), fmt.Sprintf(`{"owner_id":"pod-%d","last_modified_time":%q,"claim_id":"x","reason":`+
			`"released by pod-7"}`, i%members, now), clientv3.WithLease(granted.ID))
		put("checkpoint/"+strconv.Itoa(i), fmt.Sprintf(`{"sequence_number":%d,"offset":%d,"owner_id":"pod-%d",`+
			`"last_modified_time":%q,"write_id":"x"}`, i, i*100, i%members, now))
	}
	put("control/partitions", `{"partitions":[`+strings.Join(ids, ",")+`]}`)
	send()
	for _, command := range []string{"partition list", "member list", "checkpoint list", "group list"} {
		b.Run(strings.ReplaceAll(command, " ", "-"), func(b *testing.B) {
			args := append(strings.Fields(command), "--endpoints", strings.Join(etcd.Endpoints(), ","))
			if command != "group list" {
				args = append(args, "orders/billing")
			}
			var raw, all time.Duration
			for b.Loop() {
				began := time.Now()
				_, err := client.Get(b.Context(), group, clientv3.WithPrefix())
				require.NoError(b, err)
				raw += time.Since(began)
				began = time.Now()
				var stdout, stderr bytes.Buffer
				status := run(args, &stdout, &stderr, func(string) (string, bool) { return "", false })
				all += time.Since(began)
				require.Equal(b, exitOK, status, stderr.String())
			}
			b.ReportMetric(float64(raw.Milliseconds())/float64(b.N), "ms/raw-read")
			b.ReportMetric(float64((all-raw).Milliseconds())/float64(b.N), "ms/beyond-it")
			b.ReportMetric(0, "ns/op")
		})
	}
}
