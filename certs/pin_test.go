package certs

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// testID is an ID with n in every byte.
func testID(n byte) ServerID {
	var id ServerID
	for i := range id {
		id[i] = n
	}
	return id
}

// drawID draws any ID.
func drawID(t *rapid.T, label string) ServerID {
	return ServerID(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label))
}

// hostGen makes hosts as parseHost and parseIPv6 return them.
var hostGen = rapid.OneOf(
	rapid.StringMatching(`[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?(\.[a-z]{2,9}){0,3}\.[a-z]{2,5}\.?`),
	rapid.SampledFrom([]string{"localhost", "127.0.0.1", "::1", "::", "2001:db8::1", "fe80::1%eth0", "10.255.0.1"}),
)

func drawAddress(t *rapid.T) address {
	return address{hostGen.Draw(t, "host"), rapid.Uint16Min(1).Draw(t, "port")}
}

// checkText checks what all errors of this package keep: one line, no control
// or bidirectional character, lower case at the beginning, no full stop, and at
// most most bytes.
func checkText(t *testing.T, err error, most int) {
	t.Helper()
	text := err.Error()
	hidden := func(r rune) bool { return !unicode.IsPrint(r) }
	first, _ := utf8.DecodeRuneInString(text)
	if len(text) > most || strings.ContainsFunc(text, hidden) || !utf8.ValidString(text) ||
		unicode.IsUpper(first) || strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "...") {
		t.Errorf("got error %q of %d bytes, want at most %d, all printable", text, len(text), most)
	}
}

func TestQuoted(t *testing.T) {
	long := strings.Repeat("x", maxQuoted)
	for _, c := range []struct{ in, want string }{
		{"", `""`},
		{"a\x1b[31m\u202e\"", `"a\x1b[31m\u202e\""`},
		{long, `"` + long + `"`},
		{long + "x", `"` + long + `"...`},
		{long[1:] + "\u20ac", `"` + long[1:] + `"...`},
		{long[4:] + "\x80\x80\x80\x80\x80", `"` + long[4:] + `"...`},
	} {
		if got := quoted(c.in); got != c.want {
			t.Errorf("%q: got %s, want %s", c.in, got, c.want)
		}
	}
}

func TestParsePin(t *testing.T) {
	id := unhexID(t, goldenIDs[0].hex)
	text := goldenIDs[0].text
	curl := curlPrefix + base64.StdEncoding.EncodeToString(id[:])
	for _, c := range []struct {
		in   string
		want Pin
		text string
	}{
		{text, Pin{ID: id}, text},
		{strings.ToLower(text), Pin{ID: id}, text},
		{curl, Pin{ID: id}, text},
		{"Example.COM=" + text, Pin{"example.com", 0, id}, "example.com=" + text},
		{"example.com=" + curl, Pin{"example.com", 0, id}, "example.com=" + text},
		{"example.com:10001=" + curl, Pin{"example.com", 10001, id}, "example.com:10001=" + text},
		{"127.0.0.1:1=" + text, Pin{"127.0.0.1", 1, id}, "127.0.0.1:1=" + text},
		{"::1=" + text, Pin{"::1", 0, id}, "[::1]=" + text},
		{"[0:0::1]=" + text, Pin{"::1", 0, id}, "[::1]=" + text},
		{"[::1]:65535=" + curl, Pin{"::1", 65535, id}, "[::1]:65535=" + text},
		{"[::ffff:10.0.0.1]:9=" + text, Pin{"10.0.0.1", 9, id}, "10.0.0.1:9=" + text},
		{"[fe80::1%eth0]:9=" + text, Pin{"fe80::1%eth0", 9, id}, "[fe80::1%eth0]:9=" + text},
	} {
		got, err := ParsePin(c.in)
		if err != nil || got != c.want {
			t.Errorf("%q: got %+v, %v; want %+v", c.in, got, err, c.want)
		}
		if got := got.String(); got != c.text {
			t.Errorf("%q: got %s, want %s", c.in, got, c.text)
		}
	}
}

func TestParsePinRefuses(t *testing.T) {
	text := goldenIDs[0].text
	for _, c := range []struct{ in, want string }{
		{"", `pin: server ID "": 0 characters, want 56`},
		{"=", `pin: the address is empty; it is written ID, HOST=ID or HOST:PORT=ID`},
		{"=" + text, `pin: the address is empty; it is written ID, HOST=ID or HOST:PORT=ID`},
		{"host=", `pin of "host": server ID "": 0 characters, want 56`},
		{"host==" + text, `pin of "host": server ID "=` + text + `": '=' cannot be part of it`},
		{text + "=", `": server ID "": 0 characters, want 56`},
		{"ho st=" + text, `pin: "ho st" is no host name; it is written`},
		{"\x1b[2J=" + text, `pin: "\x1b[2J" is no host name; it is written`},
		{"-host=" + text, `pin: "-host" is no host name;`},
		{"a..b=" + text, `pin: "a..b" is no host name;`},
		{"host:0=" + text, `pin: "0" is no port: ports are 1 to 65535;`},
		{"host:=" + text, `pin: "" is no port: ports are 1 to 65535;`},
		{"host:65536=" + text, `pin: "65536" is no port:`},
		{"host:010=" + text, `pin: "010" is no port:`},
		{"host:+1=" + text, `pin: "+1" is no port:`},
		{":1=" + text, `pin: "" is no host name;`},
		{"1.2.3:1=" + text, `pin: "1.2.3" is no host name and no IPv4 address;`},
		{"::1:10001:x=" + text, `pin: "::1:10001:x" has several colons and is no IPv6 address; with a port it is written [ADDRESS]:PORT;`},
		{"[::1=" + text, `pin: "[::1" lacks the closing bracket;`},
		{"[host]:1=" + text, `pin: "host" is no IPv6 address; only those stand in brackets;`},
		{"[::1]1=" + text, `pin: "1" after the bracket; a port is written [ADDRESS]:PORT;`},
		{"[::1%e:1]:1=" + text, `pin: "::1%e:1" is no IPv6 address;`},
		{strings.Repeat("a", 64) + "=" + text, `is no host name;`},
		{strings.Repeat("a.", 127) + "a=" + text, `is longer than a host name may be: 253 bytes;`},
		{strings.Repeat("\u202e", 9999) + "=" + text, `"... is no host name;`},
		{"h=" + strings.Repeat("\u202e", 9999), `pin of "h": server ID "`},
		{"h=" + text[1:] + "A", `pin of "h": server ID "3R73D6`},
		{"sha256//", `pin: server ID "sha256//": 0 bytes after`},
		{"SHA256//x=" + text, `pin: "SHA256//x" is no host name;`},
	} {
		pin, err := ParsePin(c.in)
		if err == nil || pin != (Pin{}) {
			t.Errorf("%.80q: got %+v, %v; want an error", c.in, pin, err)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80q: got error %q, want one with %q", c.in, err, c.want)
		}
		checkText(t, err, 600)
	}
}

func TestPinsIDs(t *testing.T) {
	pins := Pins{
		{ID: testID(1)},
		{Host: "a", ID: testID(2)},
		{Host: "a", Port: 1, ID: testID(3)},
		{Host: "a", Port: 1, ID: testID(4)},
		{Host: "a", Port: 1, ID: testID(3)},
		{Host: "::1", Port: 1, ID: testID(5)},
		{ID: testID(6)},
	}
	for _, c := range []struct {
		pins Pins
		host string
		port uint16
		want []ServerID
	}{
		{nil, "a", 1, nil},
		{pins, "a", 1, []ServerID{testID(3), testID(4)}},
		{pins, "A", 1, []ServerID{testID(3), testID(4)}},
		{pins, "a", 2, []ServerID{testID(2)}},
		{pins, "b", 1, []ServerID{testID(1), testID(6)}},
		{pins, "::1", 1, []ServerID{testID(5)}},
		{pins, "[0::1]", 1, []ServerID{testID(5)}},
		{pins, "::1", 2, []ServerID{testID(1), testID(6)}},
		{pins, "", 0, []ServerID{testID(1), testID(6)}},
		{pins[1:6], "b", 1, nil},
		{pins[2:6], "a", 2, nil},
	} {
		if got := c.pins.IDs(c.host, c.port); !slices.Equal(got, c.want) {
			t.Errorf("%s, %d: got %v, want %v", c.host, c.port, got, c.want)
		}
	}
}

func TestPinRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := drawAddress(t)
		want := Pin{at.host, at.port, drawID(t, "id")}
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			want.Port = 0
		case 1:
			want.Host, want.Port = "", 0
		}
		got, err := ParsePin(want.String())
		if err != nil || got != want {
			t.Fatalf("%s: got %+v, %v; want %+v", want, got, err, want)
		}
		if at, err := parseServer(at.String()); err != nil || at != (address{at.host, at.port}) {
			t.Fatalf("got %v, %v", at, err)
		}
	})
}

// pinSeeds has each form and some mistakes.
func pinSeeds() []string {
	var seeds []string
	for _, id := range fuzzSeeds() {
		seeds = append(seeds, id, "host="+id, "host:10001="+id, "[::1]:10001="+id, "::1="+id, "[fe80::1%eth0]="+id, "host:="+id)
	}
	return append(seeds, "=", "a=b=c", "[", "[]:1=", "host:99999=x")
}

func FuzzParsePin(f *testing.F) {
	for _, s := range pinSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		pin, err := ParsePin(s)
		if err != nil {
			if pin != (Pin{}) {
				t.Fatalf("%q: got a pin with the error %v", s, err)
			}
			checkText(t, err, 1200)
			return
		}
		again, err := ParsePin(pin.String())
		if err != nil || again != pin {
			t.Fatalf("%q: %s: got %+v, %v; want %+v", s, pin, again, err, pin)
		}
		want := []ServerID{pin.ID}
		if got := (Pins{pin}).IDs(pin.Host, pin.Port); !slices.Equal(got, want) {
			t.Fatalf("%q: got %v, want %v", s, got, want)
		}
	})
}

// TestSeeds checks that each fuzz target begins with accepted and refused
// inputs.
func TestSeeds(t *testing.T) {
	for _, c := range []struct {
		name  string
		seeds []string
		parse func(string) error
	}{
		{"ParsePin", pinSeeds(), func(s string) error { _, err := ParsePin(s); return err }},
		{"ParseTicket", ticketSeeds(), func(s string) error { _, err := ParseTicket(s); return err }},
		{"ParseToken", tokenSeeds(), func(s string) error { _, err := ParseToken(s); return err }},
		{"KnownServers", knownSeeds(), func(s string) error { _, _, err := parseKnown(s); return err }},
	} {
		good, bad := 0, 0
		for _, s := range c.seeds {
			if c.parse(s) == nil {
				good++
			} else {
				bad++
			}
		}
		if good < 3 || bad < 3 {
			t.Errorf("%s: got %d good and %d bad seeds", c.name, good, bad)
		}
	}
}

// The pins of a host hold for its addresses too. Pins of every server hold if
// there are no others.
func TestPinsDemands(t *testing.T) {
	a, b, c := testID(1), testID(2), testID(3)
	host, addr, everywhere := Pin{Host: "n", ID: a}, Pin{Host: "10.0.0.1", ID: b}, Pin{ID: c}
	for _, test := range []struct {
		name string
		pins Pins
		want [][]ServerID
	}{
		{"none", nil, nil},
		{"host", Pins{host}, [][]ServerID{{a}}},
		{"address", Pins{addr}, [][]ServerID{{b}}},
		{"both", Pins{addr, host}, [][]ServerID{{a}, {b}}},
		{"every server", Pins{everywhere}, [][]ServerID{{c}}},
		{"every server and host", Pins{everywhere, host}, [][]ServerID{{a}}},
		{"every server and address", Pins{everywhere, addr}, [][]ServerID{{b}}},
		{"another", Pins{{Host: "m", ID: a}, {Host: "n", Port: 2, ID: b}}, nil},
		{"host and its server", Pins{host, {Host: "n", Port: 9, ID: c}}, [][]ServerID{{c}}},
	} {
		if got := test.pins.Demands(9, "n", "10.0.0.1"); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestCommon(t *testing.T) {
	a, b, c := testID(1), testID(2), testID(3)
	if got := Common([][]ServerID{{a, b, c}, {c, b}, {b, c, a}}); !slices.Equal(got, []ServerID{b, c}) {
		t.Errorf("got %v", got)
	}
	if got := Common(nil); got != nil {
		t.Errorf("got %v of nothing", got)
	}
}

func ExamplePins_IDs() {
	pin, err := ParsePin("example.com:10001=A3R73D6-2FG5WBP-K2ZKV66-MHW3BLR-WNWIYRG-S7DBZ27-3IVPY4G-3ZF6UQJ")
	if err != nil {
		panic(err)
	}
	fmt.Println(len(Pins{pin}.IDs("example.com", 10001)), len(Pins{pin}.IDs("example.com", 10002)))
	// Output: 1 0
}
