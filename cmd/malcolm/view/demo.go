package view

import (
	"fmt"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/serve"
)

// A DemoServer shows, in a few lines with a label, what one of demo's servers
// does.
type DemoServer struct {
	on    Printer
	label string
}

// NewDemoServer returns a view of a server that is about to start.
func NewDemoServer(on Printer, label string) *DemoServer {
	return &DemoServer{on, fmt.Sprintf("%-6s |", label)}
}

// Event shows what happened.
func (d *DemoServer) Event(e serve.Event) {
	switch e := e.(type) {
	case serve.Listening:
		d.on.Say("%s listening on %s", d.label, listening(e))
	case serve.Ready:
		d.on.Say("%s offers %s, BLAKE3 %s", d.label, human.Bytes(e.Size), human.HexShort(e.Checksum))
	case serve.Damaged:
		d.on.Say("%s is told that its chunk %d was wrong, finds its disk damaged, and hashes the file again", d.label, e.Chunk)
	case serve.Stopping:
		d.on.Say("%s stopping, %s under way", d.label, human.Plural(e.Requests, "request", "requests"))
	case serve.Stopped:
		d.on.Say("%s stopped", d.label)
	}
}
