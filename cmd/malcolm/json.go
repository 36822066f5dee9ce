package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"malcolm/cmd/malcolm/spool"
)

// With --json, stdout gets one object a line, an event, and nothing else. The
// events are the structs of json_events.go and are described by schema.json.
// Every event has its name and the version of the schema, every field of an
// event is always there, and the last event of a run that went wrong is "error".

// schemaVersion is the "v" of every event.
const schemaVersion = 1

// maxJSONText is the most bytes of a text in an event.
const maxJSONText = 4096

// An eventWriter writes events to stdout. Any goroutine may call its methods.
type eventWriter struct {
	out  *spool.Writer
	quit <-chan struct{} // closed when the run has to end; nil: never
}

// write writes one event. Only for those that a result may have any number of it
// waits for whoever reads stdout.
func (w *eventWriter) write(event any) {
	line := marshalEvent(event)
	switch event.(type) {
	case mismatchEvent, knownServerEvent:
		w.out.PutWait(line, w.quit)
	case progressEvent, statusEvent, indexingEvent:
		w.out.Put(spool.Report, line)
	case serverEvent, serverLostEvent, serverBackEvent, contradictedEvent, oneAddressEvent, chunkRefusedEvent, clientEvent, changedEvent, readyEvent:
		w.out.Put(spool.Event, line)
	default:
		w.out.Put(spool.Result, line)
	}
}

// marshalEvent writes an event as one line.
func marshalEvent(event any) []byte {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(event); err != nil {
		panic("malcolm: internal error: an event is no JSON: " + err.Error())
	}
	return line.Bytes()
}

// jsonText makes text fit for an event: valid UTF-8 of a bounded length.
func jsonText(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxJSONText {
		return s
	}
	s = s[:maxJSONText-len("…")]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}
