// Command serve runs the stand-in for Event Hubs for a test that cannot import package standin. It prints a connection
// string of the hub and goes on until its standard input ends.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/tenure-go/tenure/integration/internal/standin"
)

func main() {
	var options standin.Options
	flag.IntVar(&options.Partitions, "partitions", 1, "its partitions")
	flag.IntVar(&options.Events, "events", 0, "events that are there from the start, over all partitions")
	flag.Parse()
	server, err := standin.Launch(options)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(server.HubConnectionString())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := server.Stop(); err != nil {
		log.Fatal(err)
	}
}
