module github.com/tenure-go/tenure/integration/compare

go 1.26.0

require (
	github.com/stretchr/testify v1.12.1
	github.com/tenure-go/tenure v0.0.0
	github.com/twmb/franz-go v1.22.3
	github.com/twmb/franz-go/pkg/kmsg v1.15.1
)

require (
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/pierrec/lz4/v4 v4.1.33 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
)

replace github.com/tenure-go/tenure => ../..
