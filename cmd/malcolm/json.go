package main

import (
	"encoding/json"
	"io"
	"strings"
	"sync"

	"malcolm/transfer"
)

// schemaVersion is the "v" of every event.
const schemaVersion = 1

// An eventWriter writes events to stdout, each as one line and at once. Any
// goroutine may call its methods.
type eventWriter struct {
	mu  sync.Mutex
	out io.Writer
}

func newEventWriter(out io.Writer) *eventWriter { return &eventWriter{out: out} }

// write writes one event: a struct of json_events.go.
func (w *eventWriter) write(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line, err := json.Marshal(event)
	if err != nil {
		panic("malcolm: internal error: an event is no JSON: " + err.Error())
	}
	w.out.Write(append(line, '\n'))
}

// fail writes the event that ends a run that went wrong.
func (w *eventWriter) fail(err error, hints []string) {
	w.write(errorEvent{Event: "error", V: schemaVersion, Exit: exitCode(err), Message: describe(err), Hint: strings.Join(hints, "\n")})
}

type errorEvent struct {
	Event   string `json:"event"`
	V       int    `json:"v"`
	Exit    int    `json:"exit"`
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// A getJSON writes what Get does as events.
type getJSON struct{ out *eventWriter }

func newGetJSON(out *eventWriter, _ transfer.GetConfig) *getJSON { return &getJSON{out: out} }

func (g *getJSON) event(transfer.GetEvent) {}

func (g *getJSON) ended(outcome) {}

// A serveJSON writes what Serve does as events.
type serveJSON struct {
	out  *eventWriter
	host string
}

func (s *serveJSON) event(transfer.ServeEvent) {}

func (s *serveJSON) ended(error) {}
