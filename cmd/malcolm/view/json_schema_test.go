package view

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/view/schema"
	"malcolm/transfer/fetch"
)

// jsonEvents are all events.
var jsonEvents = map[string]Event{
	"start": startEvent{}, "server": serverEvent{}, "vote": voteEvent{}, "unproved": unprovedEvent{}, "progress": progressEvent{},
	"chunk_refused": chunkRefusedEvent{}, "server_lost": serverLostEvent{}, "server_back": serverBackEvent{}, "contradicted": contradictedEvent{}, "one_address": oneAddressEvent{},
	"set_aside":   setAsideEvent{},
	"udp_blocked": udpBlockedEvent{}, "way_refused": wayRefusedEvent{}, "transport_changed": transportChangedEvent{}, "dropped": droppedEvent{},
	"done": doneEvent{}, "error": errorEvent{}, "mismatch": mismatchEvent{}, "verified": verifiedEvent{},
	"compared": comparedEvent{}, "known_server": knownServerEvent{}, "forgotten": forgottenEvent{}, "setting": settingEvent{}, "version": versionEvent{},
	"listening": listeningEvent{}, "indexing": indexingEvent{}, "ready": readyEvent{}, "status": statusEvent{},
	"indexed": indexedEvent{}, "left_out": leftOutEvent{}, "path_vote": pathVoteEvent{},
	"listing": listingEvent{}, "file": fileEvent{},
	"entry": entryEvent{}, "differs": differsEvent{}, "lacking": lackingEvent{},
	"batch_file": batchFileEvent{}, "batch_progress": batchProgressEvent{}, "batch": batchEvent{},
	"info": infoEvent{}, "plan": planEvent{}, "client": clientEvent{}, "changed": changedEvent{}, "stopped": stoppedEvent{},
}

// TestSchemaHasEveryField: the schema's events have the program's fields, all
// of them required and no others allowed.
func TestSchemaHasEveryField(t *testing.T) {
	root, err := schema.Read("../schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, option := range root.OneOf {
		names = append(names, strings.TrimPrefix(option.Ref, "#/$defs/"))
	}
	slices.Sort(names)
	if want := slices.Sorted(maps.Keys(jsonEvents)); !slices.Equal(names, want) {
		t.Fatalf("events of the schema = %v, want %v", names, want)
	}
	for name, event := range jsonEvents {
		node := root.Defs[name]
		if got := node.Properties["event"]; got == nil || got.Const != name {
			t.Errorf("%s: event = %v, want its name", name, got)
		}
		if got := node.Properties["v"]; got == nil || got.Const != float64(schemaVersion) {
			t.Errorf("%s: v = %v, want %d", name, got, schemaVersion)
		}
		checkFields(t, name, node, reflect.TypeOf(event))
	}
}

func checkFields(t *testing.T, path string, node *schema.Node, of reflect.Type) {
	t.Helper()
	var fields []string
	for _, f := range reflect.VisibleFields(of) {
		if f.Anonymous {
			continue
		}
		tag := f.Tag.Get("json")
		if tag == "" || strings.Contains(tag, ",") {
			t.Errorf("%s.%s: the tag is %q, want a name and no options", path, f.Name, tag)
		}
		fields = append(fields, tag)
		inner := f.Type
		if inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct {
			checkFields(t, path+"."+tag, node.Properties[tag].Items, inner.Elem())
		}
	}
	slices.Sort(fields)
	required := slices.Sorted(slices.Values(node.Required))
	if got := slices.Sorted(maps.Keys(node.Properties)); !slices.Equal(got, fields) || !slices.Equal(required, fields) {
		t.Errorf("%s: properties %v, required %v, want %v", path, got, required, fields)
	}
	if node.Additional == nil || *node.Additional {
		t.Errorf("%s: other properties are allowed", path)
	}
}

// TestSchemaRefuses: the schema refuses wrong events, so the scripts' checks
// can fail.
func TestSchemaRefuses(t *testing.T) {
	root, err := schema.Read("../schema.json")
	if err != nil {
		t.Fatal(err)
	}
	good := `{"event":"server","v":1,"address":"h:1","source":"server","id":"","state":"serving","reason":"","transport":"quic"}`
	if _, err := root.Check(good); err != nil {
		t.Fatalf("a good event: %v", err)
	}
	for what, line := range map[string]string{
		"no JSON":         `{`,
		"other version":   strings.Replace(good, `"v":1`, `"v":2`, 1),
		"unknown event":   strings.Replace(good, "server", "servers", 1),
		"missing field":   strings.Replace(good, `,"reason":""`, "", 1),
		"another field":   strings.Replace(good, `"reason"`, `"more":1,"reason"`, 1),
		"unknown way":     strings.Replace(good, "quic", "udp", 1),
		"unknown state":   strings.Replace(good, "serving", "resting", 1),
		"wrong type":      strings.Replace(good, `""`, `7`, 1),
		"no address":      strings.Replace(good, "h:1", "h", 1),
		"a query":         strings.Replace(good, "h:1", "https://h/x?secret", 1),
		"unknown source":  strings.Replace(good, `"server","id"`, `"friend","id"`, 1),
		"no ID":           strings.Replace(good, `"id":""`, `"id":"x"`, 1),
		"invalid UTF-8":   strings.Replace(good, `"reason":""`, "\"reason\":\"\xff\"", 1),
		"text too long":   strings.Replace(good, `"reason":""`, `"reason":"`+strings.Repeat("x", maxJSONText+1)+`"`, 1),
		"negative number": `{"event":"stopped","v":1,"bytes":-1}`,
		"fraction":        `{"event":"stopped","v":1,"bytes":1.5}`,
		"null":            `{"event":"start","v":1,"time":"2026-01-02T03:04:05Z","servers":null}`,
		"item":            `{"event":"start","v":1,"time":"2026-01-02T03:04:05Z","servers":["x"]}`,
	} {
		if _, err := root.Check(line); err == nil {
			t.Errorf("%s: matches", what)
		}
	}
}

// TestJSONText: text is cut at a whole character and is always UTF-8.
func TestJSONText(t *testing.T) {
	long := strings.Repeat("é", maxJSONText)
	for _, test := range []struct{ text, want string }{
		{"", ""}, {"a\nb", "a\nb"}, {"a\xffb", "a\uFFFDb"}, {"<&>", "<&>"},
		{long, strings.Repeat("é", (maxJSONText-3)/2) + "…"},
	} {
		if got := jsonText(test.text); got != test.want || len(got) > maxJSONText {
			t.Errorf("%.20q: got %.20q (%d bytes), want %.20q", test.text, got, len(got), test.want)
		}
	}
}

// TestJSONOfTrust: programs are told of what people are warned of.
func TestJSONOfTrust(t *testing.T) {
	root, err := schema.Read("../schema.json")
	if err != nil {
		t.Fatal(err)
	}
	term, out, _ := newTestTerminal()
	g := &getJSON{out: term}
	id, before := certs.ServerID{1}, certs.ServerID{2}
	seen := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	g.event(fetch.Contradicted{Target: here, ID: id, Record: certs.KnownServer{ID: before, FirstSeen: seen}, Updated: true})
	g.event(fetch.OneAddress{Hosts: [2]string{"a", "b"}, Addr: netip.MustParseAddr("10.0.0.1")})
	want := `{"event":"contradicted","v":1,"address":"127.0.0.1:10001","id":"` + id.String() + `","recorded_id":"` + before.String() +
		`","first_seen":"2026-01-02T03:04:05Z","updated":true}` + "\n" + `{"event":"one_address","v":1,"hosts":["a","b"],"ip":"10.0.0.1"}` + "\n"
	if got := out.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for line := range strings.Lines(out.String()) {
		if _, err := root.Check(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
