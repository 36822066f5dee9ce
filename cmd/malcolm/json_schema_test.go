package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"malcolm/certs"
	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer"
)

// A schemaNode is a JSON Schema (2020-12) of the keywords that schema.json uses.
// A keyword that is not among them is an error when it is read.
type schemaNode struct {
	Schema      string                 `json:"$schema"`
	Title       string                 `json:"title"`
	Description string                 `json:"description"`
	Defs        map[string]*schemaNode `json:"$defs"`
	Ref         string                 `json:"$ref"`
	OneOf       []*schemaNode          `json:"oneOf"`
	Type        string                 `json:"type"`
	Const       any                    `json:"const"`
	Enum        []any                  `json:"enum"`
	Pattern     string                 `json:"pattern"`
	MaxLength   *int                   `json:"maxLength"`
	Minimum     *float64               `json:"minimum"`
	Items       *schemaNode            `json:"items"`
	Properties  map[string]*schemaNode `json:"properties"`
	Required    []string               `json:"required"`
	Additional  *bool                  `json:"additionalProperties"`
}

func readSchema() (*schemaNode, error) {
	text, err := os.ReadFile("schema.json")
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	root := new(schemaNode)
	return root, d.Decode(root)
}

// checkEvent validates a line of --json and returns its event.
func (root *schemaNode) checkEvent(line string) (map[string]any, error) {
	var value map[string]any
	if err := json.Unmarshal([]byte(line), &value); err != nil {
		return nil, err
	}
	if !utf8.ValidString(line) {
		return nil, errors.New("no valid UTF-8")
	}
	return value, root.check(root, value, "")
}

// check validates a value at a path against n.
func (root *schemaNode) check(n *schemaNode, value any, path string) error {
	if n.Ref != "" {
		target := root.Defs[strings.TrimPrefix(n.Ref, "#/$defs/")]
		if target == nil {
			return fmt.Errorf("%s: the schema lacks %s", path, n.Ref)
		}
		return root.check(target, value, path)
	}
	if len(n.OneOf) > 0 {
		return root.checkOneOf(n, value, path)
	}
	if n.Const != nil && !reflect.DeepEqual(n.Const, value) {
		return fmt.Errorf("%s: %v, want %v", path, value, n.Const)
	}
	if n.Enum != nil && !slices.ContainsFunc(n.Enum, func(e any) bool { return reflect.DeepEqual(e, value) }) {
		return fmt.Errorf("%s: %v is not among %v", path, value, n.Enum)
	}
	return root.checkType(n, value, path)
}

func (root *schemaNode) checkOneOf(n *schemaNode, value any, path string) error {
	var failures []error
	for _, option := range n.OneOf {
		if err := root.check(option, value, path); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", option.Ref, err))
		}
	}
	if len(n.OneOf)-len(failures) == 1 {
		return nil
	}
	return fmt.Errorf("%s: %d of %d match: %w", path, len(n.OneOf)-len(failures), len(n.OneOf), errors.Join(failures...))
}

func (root *schemaNode) checkType(n *schemaNode, value any, path string) error {
	wrong := fmt.Errorf("%s: %#v is no %s", path, value, n.Type)
	switch n.Type {
	case "":
		return nil
	case "boolean":
		if _, ok := value.(bool); !ok {
			return wrong
		}
	case "integer", "number":
		number, ok := value.(float64)
		if !ok || n.Type == "integer" && number != math.Trunc(number) {
			return wrong
		}
		if n.Minimum != nil && number < *n.Minimum {
			return fmt.Errorf("%s: %v is below %v", path, number, *n.Minimum)
		}
	case "string":
		text, ok := value.(string)
		if !ok {
			return wrong
		}
		if n.MaxLength != nil && utf8.RuneCountInString(text) > *n.MaxLength || n.Pattern != "" && !regexp.MustCompile(n.Pattern).MatchString(text) {
			return fmt.Errorf("%s: %q is too long or does not match %s", path, text, n.Pattern)
		}
	case "array":
		list, ok := value.([]any)
		if !ok {
			return wrong
		}
		for i, item := range list {
			if err := root.check(n.Items, item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case "object":
		return root.checkObject(n, value, path)
	default:
		return fmt.Errorf("%s: the schema has the type %q", path, n.Type)
	}
	return nil
}

func (root *schemaNode) checkObject(n *schemaNode, value any, path string) error {
	object, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: %#v is no object", path, value)
	}
	for _, name := range n.Required {
		if _, ok := object[name]; !ok {
			return fmt.Errorf("%s: %s is missing", path, name)
		}
	}
	for name, item := range object {
		property := n.Properties[name]
		if property == nil {
			if n.Additional == nil || *n.Additional {
				continue
			}
			return fmt.Errorf("%s: %s is not in the schema", path, name)
		}
		if err := root.check(property, item, path+"."+name); err != nil {
			return err
		}
	}
	return nil
}

// jsonEvents are all events.
var jsonEvents = map[string]any{
	"start": startEvent{}, "server": serverEvent{}, "vote": voteEvent{}, "progress": progressEvent{},
	"chunk_refused": chunkRefusedEvent{}, "server_lost": serverLostEvent{}, "server_back": serverBackEvent{}, "contradicted": contradictedEvent{}, "one_address": oneAddressEvent{}, "dropped": droppedEvent{},
	"done": doneEvent{}, "error": errorEvent{}, "mismatch": mismatchEvent{}, "verified": verifiedEvent{},
	"compared": comparedEvent{}, "known_server": knownServerEvent{}, "forgotten": forgottenEvent{},
	"listening": listeningEvent{}, "indexing": indexingEvent{}, "ready": readyEvent{}, "status": statusEvent{},
	"info": infoEvent{}, "plan": planEvent{}, "client": clientEvent{}, "changed": changedEvent{}, "stopped": stoppedEvent{},
}

// TestSchemaHasEveryField: the schema's events have the fields of the program's,
// all of them required and no others allowed.
func TestSchemaHasEveryField(t *testing.T) {
	root, err := readSchema()
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

func checkFields(t *testing.T, path string, node *schemaNode, of reflect.Type) {
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

// TestSchemaRefuses: what must not match does not, so that the scripts' checks
// can fail.
func TestSchemaRefuses(t *testing.T) {
	root, err := readSchema()
	if err != nil {
		t.Fatal(err)
	}
	good := `{"event":"server","v":1,"address":"h:1","id":"","state":"serving","reason":""}`
	if _, err := root.checkEvent(good); err != nil {
		t.Fatalf("a good event: %v", err)
	}
	for what, line := range map[string]string{
		"no JSON":         `{`,
		"other version":   strings.Replace(good, `"v":1`, `"v":2`, 1),
		"unknown event":   strings.Replace(good, "server", "servers", 1),
		"missing field":   strings.Replace(good, `,"reason":""`, "", 1),
		"another field":   strings.Replace(good, `"reason"`, `"more":1,"reason"`, 1),
		"unknown state":   strings.Replace(good, "serving", "resting", 1),
		"wrong type":      strings.Replace(good, `""`, `7`, 1),
		"no address":      strings.Replace(good, "h:1", "h", 1),
		"no ID":           strings.Replace(good, `"id":""`, `"id":"x"`, 1),
		"invalid UTF-8":   strings.Replace(good, `"reason":""`, "\"reason\":\"\xff\"", 1),
		"text too long":   strings.Replace(good, `"reason":""`, `"reason":"`+strings.Repeat("x", maxJSONText+1)+`"`, 1),
		"negative number": `{"event":"stopped","v":1,"bytes":-1}`,
		"fraction":        `{"event":"stopped","v":1,"bytes":1.5}`,
		"null":            `{"event":"start","v":1,"time":"2026-01-02T03:04:05Z","servers":null}`,
		"item":            `{"event":"start","v":1,"time":"2026-01-02T03:04:05Z","servers":["x"]}`,
	} {
		if _, err := root.checkEvent(line); err == nil {
			t.Errorf("%s: matches", what)
		}
	}
}

// TestJSONText: text is cut at a whole character, and is always UTF-8.
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

// TestJSONOfTrust: what a person is warned of, a program is told of, too.
func TestJSONOfTrust(t *testing.T) {
	root, err := readSchema()
	if err != nil {
		t.Fatal(err)
	}
	term, out, _ := newTestTerminal(screen.ColorAuto)
	g := &getJSON{out: &eventWriter{out: term.stdout}}
	id, before := certs.ServerID{1}, certs.ServerID{2}
	seen := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	g.event(transfer.Contradicted{Target: here, ID: id, Record: certs.KnownServer{ID: before, FirstSeen: seen}, Updated: true})
	g.event(transfer.OneAddress{Hosts: [2]string{"a", "b"}, Addr: netip.MustParseAddr("10.0.0.1")})
	term.flush()
	want := `{"event":"contradicted","v":1,"address":"127.0.0.1:10001","id":"` + id.String() + `","recorded_id":"` + before.String() +
		`","first_seen":"2026-01-02T03:04:05Z","updated":true}` + "\n" + `{"event":"one_address","v":1,"hosts":["a","b"],"ip":"10.0.0.1"}` + "\n"
	if got := out.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for line := range strings.Lines(out.String()) {
		if _, err := root.checkEvent(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
