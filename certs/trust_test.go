package certs

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestDecide goes through every policy with every kind of pin, ticket and
// record.
func TestDecide(t *testing.T) {
	id, other, third := testID(1), testID(2), testID(3)
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	record := func(host string, id ServerID) *KnownServer {
		return &KnownServer{Host: host, Port: 1, ID: id, FirstSeen: since}
	}
	right, wrong := record("a", id), record("a", other)
	rightName, wrongName := record("n", id), record("n", other)
	match, mismatch := [][]ServerID{{other, id}}, [][]ServerID{{other, third}}
	nothing := Decision{}
	first := Decision{Record: []string{"a:1"}, First: true}
	for _, c := range []struct {
		name    string
		contact Contact
		want    [3]any // for first, strict, pinned: a Decision or a TrustKind
	}{
		{"unknown", Contact{}, [3]any{first, UnknownServer, NotPinned}},
		{"known", Contact{OfAddress: right}, [3]any{nothing, nothing, NotPinned}},
		{"changed", Contact{OfAddress: wrong}, [3]any{IDChanged, IDChanged, NotPinned}},
		{"the name is known", Contact{Name: "n:1", OfName: rightName}, [3]any{nothing, nothing, NotPinned}},
		{"the name is another", Contact{Name: "n:1", OfName: wrongName}, [3]any{IDChanged, IDChanged, NotPinned}},
		{"the name is another, the address is known", Contact{Name: "n:1", OfName: wrongName, OfAddress: right}, [3]any{IDChanged, IDChanged, NotPinned}},
		{"the name is known, the address is another", Contact{Name: "n:1", OfName: rightName, OfAddress: wrong}, [3]any{IDChanged, IDChanged, NotPinned}},
		{"pinned", Contact{Pins: match}, all(Decision{Record: []string{"a:1"}, Replace: true})},
		{"pinned and known", Contact{Pins: match, OfAddress: right}, all(nothing)},
		{"pinned and changed", Contact{Pins: match, OfAddress: wrong},
			all(Decision{Record: []string{"a:1"}, Replace: true, Contradicts: wrong})},
		{"pinned, the name changed", Contact{Pins: match, Name: "n:1", OfName: wrongName, OfAddress: wrong},
			all(Decision{Record: []string{"n:1", "a:1"}, Replace: true, Contradicts: wrongName})},
		{"pinned otherwise", Contact{Pins: mismatch}, all(PinMismatch)},
		{"pinned otherwise and known", Contact{Pins: mismatch, OfAddress: right}, all(PinMismatch)},
		{"pinned and pinned otherwise", Contact{Pins: [][]ServerID{{id}, {other}}}, all(PinMismatch)},
		{"in a ticket", Contact{Tickets: match}, all(Decision{Record: []string{"a:1"}})},
		{"in a ticket and known", Contact{Tickets: match, OfAddress: right}, all(nothing)},
		{"in a ticket and changed", Contact{Tickets: match, OfAddress: wrong}, all(Decision{Contradicts: wrong})},
		{"in a ticket otherwise", Contact{Tickets: mismatch, OfAddress: right}, all(PinMismatch)},
		{"pinned, in a ticket otherwise", Contact{Pins: match, Tickets: mismatch}, all(PinMismatch)},
		{"pinned and in a ticket, changed", Contact{Pins: match, Tickets: match, OfAddress: wrong},
			all(Decision{Record: []string{"a:1"}, Replace: true, Contradicts: wrong})},
	} {
		for i, policy := range []TrustPolicy{FirstContact, StrictTrust, PinnedTrust} {
			contact := c.contact
			contact.Address, contact.ID, contact.Checked = "a:1", id, true
			d, err := policy.Decide(contact)
			var got any = d
			if refused, ok := errors.AsType[*TrustError](err); ok {
				got = refused.Kind
				if refused.New != id {
					t.Errorf("%s: got %+v", c.name, refused)
				}
				if want := refused.Kind == IDChanged || refused.Kind == PinMismatch; (refused.Old == other) != want && c.name != "pinned and pinned otherwise" {
					t.Errorf("%s: got the old ID %s", c.name, refused.Old)
				}
			}
			if !reflect.DeepEqual(got, c.want[i]) {
				t.Errorf("%s, %s: got %+v, want %+v", policy, c.name, got, c.want[i])
			}
			// Before the last check nothing is recorded or told,
			// and the same servers are refused.
			contact.Checked = false
			early, earlyErr := policy.Decide(contact)
			if (earlyErr == nil) != (err == nil) || !reflect.DeepEqual(early, nothing) {
				t.Errorf("%s, %s: got %+v, %v before the last check", policy, c.name, early, earlyErr)
			}
		}
	}
}

func all(want any) [3]any { return [3]any{want, want, want} }

func TestDecideNamesTheRecord(t *testing.T) {
	c := Contact{Address: "10.0.0.1:1", Name: "n:1", ID: testID(1), OfName: &KnownServer{Host: "n", Port: 1, ID: testID(2)}}
	_, err := FirstContact.Decide(c)
	want := `server "n:1" at "10.0.0.1:1" has another ID than before: it was `
	if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), "malcolm trust forget n:1") {
		t.Errorf("got %v, want %s…, and how to forget the name", err, want)
	}
}

func TestDecideUnknownPolicyRefuses(t *testing.T) {
	id := testID(1)
	if _, err := TrustPolicy(9).Decide(Contact{ID: id, OfAddress: &KnownServer{ID: id}}); err == nil {
		t.Error("accepted")
	}
}

// TestDecideNeverAcceptsContradiction checks for all contacts what no policy
// may do.
func TestDecideNeverAcceptsContradiction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		anID := rapid.Map(rapid.ByteRange(0, 2), testID)
		lists := rapid.SliceOfN(rapid.SliceOfN(anID, 1, 3), 0, 2)
		record := func(name string) *KnownServer {
			if rapid.Bool().Draw(t, name+" is known") {
				return nil
			}
			return &KnownServer{Host: name, Port: 1, ID: anID.Draw(t, name)}
		}
		c := Contact{
			Address: "a:1", Name: "n:1", ID: anID.Draw(t, "id"), Pins: lists.Draw(t, "pins"), Tickets: lists.Draw(t, "tickets"),
			OfName: record("n"), OfAddress: record("a"), Checked: rapid.Bool().Draw(t, "checked"),
		}
		policy := TrustPolicy(rapid.ByteRange(0, 3).Draw(t, "policy"))
		d, err := policy.Decide(c)
		if err != nil {
			if !reflect.DeepEqual(d, Decision{}) {
				t.Fatalf("refused, and %+v", d)
			}
			return
		}
		named := len(c.Pins)+len(c.Tickets) > 0
		contradicted := c.OfName != nil && c.OfName.ID != c.ID || c.OfAddress != nil && c.OfAddress.ID != c.ID
		known := c.OfName != nil || c.OfAddress != nil
		for _, list := range slices.Concat(c.Pins, c.Tickets) {
			if !slices.Contains(list, c.ID) {
				t.Fatal("accepted against a pin or a ticket")
			}
		}
		switch {
		case !named && contradicted:
			t.Fatal("accepted against a record")
		case !named && !known && policy != FirstContact:
			t.Fatal("accepted an unknown server")
		case d.First && (known || named):
			t.Fatal("first contact of a server that is known or named")
		case contradicted && len(c.Pins) == 0 && len(d.Record) > 0, d.Replace && len(c.Pins) == 0:
			t.Fatal("a ticket writes over a record")
		case contradicted && c.Checked && d.Contradicts == nil:
			t.Fatal("a contradiction is not said")
		case !c.Checked && !reflect.DeepEqual(d, Decision{}):
			t.Fatal("something follows before the last check")
		}
	})
}

func TestTrustErrorText(t *testing.T) {
	a, b := unhexID(t, goldenIDs[0].hex), unhexID(t, goldenIDs[3].hex)
	since := time.Date(2026, 1, 2, 23, 4, 5, 0, time.FixedZone("", -3600))
	for _, c := range []struct {
		err  TrustError
		want string
	}{
		{TrustError{IDChanged, "host:10001", a, 0, b, since, ""},
			`server "host:10001" has another ID than before: it was ` + a.String() + `, known since 2026-01-03, now it is ` + b.String() +
				`; somebody else may answer in its place; if its key was changed on purpose, run: malcolm trust forget host:10001`},
		{TrustError{IDChanged, "[fe80::1%eth0]:1", a, 0, b, time.Time{}, ""},
			`server "[fe80::1%eth0]:1" has another ID than before: it was ` + a.String() + `, now it is ` + b.String() +
				`; somebody else may answer in its place; if its key was changed on purpose, run: malcolm trust forget '[fe80::1%eth0]:1'`},
		{TrustError{IDChanged, "a;rm -rf\x1b[2J" + strings.Repeat("x", 999), a, 0, b, time.Time{}, ""},
			`server "a;rm -rf\x1b[2J` + strings.Repeat("x", maxQuoted-12) + `"... has another ID than before: it was ` + a.String() + `, now it is ` + b.String() +
				`; somebody else may answer in its place; if its key was changed on purpose, run: malcolm trust forget HOST:PORT`},
		{TrustError{PinMismatch, "host:1", a, 0, b, time.Time{}, ""},
			`server "host:1" does not have the pinned ID: pinned is ` + a.String() + `, its own is ` + b.String() +
				`; somebody else may answer in its place; if the new ID is the right one, pin that`},
		{TrustError{PinMismatch, "host:1", a, 2, b, time.Time{}, ""},
			`server "host:1" does not have the pinned ID: pinned is ` + a.String() + ` (or one of 2 more), its own is ` + b.String() +
				`; somebody else may answer in its place; if the new ID is the right one, pin that`},
		{TrustError{UnknownServer, "host:1", ServerID{}, 0, b, time.Time{}, ""},
			`server "host:1" is not known, its ID is ` + b.String() + `; if that is the right one, add: --pin host:1=` + b.String()},
		{TrustError{NotPinned, "[::1]:1", ServerID{}, 0, b, time.Time{}, ""},
			`server "[::1]:1" is not pinned, its ID is ` + b.String() + `; if that is the right one, add: --pin '[::1]:1=` + b.String() + `'`},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		checkText(t, &c.err, 1000)
	}
}

func TestTrustPolicyText(t *testing.T) {
	for _, want := range []TrustPolicy{FirstContact, StrictTrust, PinnedTrust} {
		var got TrustPolicy
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Errorf("%s: got %s, %v", want, got, err)
		}
	}
	for _, bad := range []string{"", "First", "none", "off", "strict ", strings.Repeat("\x1b", 999)} {
		got := StrictTrust
		err := got.UnmarshalText([]byte(bad))
		if err == nil || got != StrictTrust {
			t.Errorf("%q: got %s, %v; want an error", bad, got, err)
			continue
		}
		if want := fmt.Sprintf("%s is no trust policy: write first, strict, pinned", quoted(bad)); err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		checkText(t, err, 400)
	}
}
