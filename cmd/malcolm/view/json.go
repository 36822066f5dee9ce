package view

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"malcolm/cmd/malcolm/spool"
)

// With --json, stdout gets one object a line, an event, and nothing else. The
// events are the structs of json_events.go; schema.json describes them. Every
// event has its name and the version of the schema. Every field is always
// there. The last event of a run that went wrong is "error".

// An Event is one of them. It does not change.
type Event interface {
	name() string
}

// schemaVersion is the "v" of every event.
const schemaVersion = 1

// maxJSONText is the largest size of a text in an event, in bytes.
const maxJSONText = 4096

// ClassOf says what happens to an event when stdout is read slowly. With wait
// its writer waits for the reader, since a result may have any number of such
// events.
func ClassOf(e Event) (class spool.Class, wait bool) {
	switch e.(type) {
	case batchFileEvent, mismatchEvent, pathVoteEvent, differsEvent, entryEvent, knownServerEvent, settingEvent:
		return spool.Result, true
	case progressEvent, batchProgressEvent, statusEvent, indexingEvent:
		return spool.Report, false
	case serverEvent, serverLostEvent, serverBackEvent, contradictedEvent, oneAddressEvent, chunkRefusedEvent, lackingEvent, fileEvent, clientEvent, changedEvent, readyEvent, leftOutEvent:
		return spool.Event, false
	}
	return spool.Result, false
}

// Line writes an event as one line, with its end.
func Line(e Event) []byte {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
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

// is returns the beginning of an event.
func is(event string) head { return head{event, schemaVersion} }
