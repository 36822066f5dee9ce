package certs

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestJudge goes through every policy with every kind of pin and record.
func TestJudge(t *testing.T) {
	id, other, third := testID(1), testID(2), testID(3)
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const (
		noRecord = iota
		sameRecord
		otherRecord
	)
	everywhere := func(v Verdict, k TrustKind) [3]any {
		o := [2]any{v, k}
		return [3]any{o, o, o}
	}
	for _, c := range []struct {
		pinned []ServerID
		record int
		want   [3]any // for first, strict, pinned
	}{
		{nil, noRecord, [3]any{[2]any{AcceptFirst, TrustKind(0)}, [2]any{Refuse, UnknownServer}, [2]any{Refuse, NotPinned}}},
		{nil, sameRecord, [3]any{[2]any{Accept, TrustKind(0)}, [2]any{Accept, TrustKind(0)}, [2]any{Refuse, NotPinned}}},
		{nil, otherRecord, [3]any{[2]any{Refuse, IDChanged}, [2]any{Refuse, IDChanged}, [2]any{Refuse, NotPinned}}},
		{[]ServerID{other, id}, noRecord, everywhere(AcceptUpdate, 0)},
		{[]ServerID{other, id}, sameRecord, everywhere(Accept, 0)},
		{[]ServerID{other, id}, otherRecord, everywhere(AcceptUpdate, 0)},
		{[]ServerID{other, third}, noRecord, everywhere(Refuse, PinMismatch)},
		{[]ServerID{other, third}, sameRecord, everywhere(Refuse, PinMismatch)},
		{[]ServerID{other, third}, otherRecord, everywhere(Refuse, PinMismatch)},
	} {
		for i, policy := range []TrustPolicy{FirstContact, StrictTrust, PinnedTrust} {
			contact := Contact{Address: "a:1", ID: id, Pinned: c.pinned}
			switch c.record {
			case sameRecord:
				contact.Known, contact.FirstSeen, contact.IsKnown = id, since, true
			case otherRecord:
				contact.Known, contact.FirstSeen, contact.IsKnown = other, since, true
			}
			verdict, err := policy.Judge(contact)
			var kind TrustKind
			if refused, ok := errors.AsType[*TrustError](err); ok {
				kind = refused.Kind
				if refused.New != id || refused.Address != "a:1" {
					t.Errorf("got %+v", refused)
				}
				if want := kind == IDChanged || kind == PinMismatch; (refused.Old == other) != want {
					t.Errorf("kind %d: got the old ID %s", kind, refused.Old)
				}
			}
			if got := [2]any{verdict, kind}; got != c.want[i] {
				t.Errorf("%s, pinned %d, record %d: got %v, want %v", policy, len(c.pinned), c.record, got, c.want[i])
			}
			if (verdict == Refuse) != (err != nil) {
				t.Errorf("%s: got verdict %d with error %v", policy, verdict, err)
			}
		}
	}
}

func TestJudgeUnknownPolicyRefuses(t *testing.T) {
	id := testID(1)
	if v, err := TrustPolicy(9).Judge(Contact{ID: id, Known: id, IsKnown: true}); v != Refuse || err == nil {
		t.Errorf("got %d, %v; want Refuse", v, err)
	}
	var zero Verdict
	if zero != Refuse {
		t.Errorf("the zero verdict is %d, want Refuse", zero)
	}
}

// TestJudgeNeverAcceptsContradiction asserts for all contacts what no policy
// may do.
func TestJudgeNeverAcceptsContradiction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		anID := rapid.Map(rapid.ByteRange(0, 2), testID)
		c := Contact{
			ID: anID.Draw(t, "id"), Pinned: rapid.SliceOfN(anID, 0, 3).Draw(t, "pinned"),
			Known: anID.Draw(t, "known"), IsKnown: rapid.Bool().Draw(t, "is known"),
		}
		policy := TrustPolicy(rapid.ByteRange(0, 3).Draw(t, "policy"))
		verdict, err := policy.Judge(c)
		if (verdict == Refuse) != (err != nil) {
			t.Fatalf("got verdict %d with error %v", verdict, err)
		}
		pinMatches := false
		for _, id := range c.Pinned {
			pinMatches = pinMatches || id == c.ID
		}
		switch {
		case verdict != Refuse && len(c.Pinned) > 0 && !pinMatches:
			t.Fatal("accepted against a pin")
		case verdict != Refuse && !pinMatches && c.IsKnown && c.Known != c.ID:
			t.Fatal("accepted against the record")
		case verdict != Refuse && !pinMatches && !c.IsKnown && policy != FirstContact:
			t.Fatal("accepted unknown server")
		case verdict == AcceptFirst && (c.IsKnown || len(c.Pinned) > 0):
			t.Fatal("first contact of a server that is known or pinned")
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
		{TrustError{IDChanged, "host:10001", a, 0, b, since},
			`server "host:10001" has another ID than before: it was ` + a.String() + `, known since 2026-01-03, now it is ` + b.String() +
				`; somebody else may answer in its place; if its key was changed on purpose, run: malcolm trust forget host:10001`},
		{TrustError{IDChanged, "[fe80::1%eth0]:1", a, 0, b, time.Time{}},
			`server "[fe80::1%eth0]:1" has another ID than before: it was ` + a.String() + `, now it is ` + b.String() +
				`; somebody else may answer in its place; if its key was changed on purpose, run: malcolm trust forget '[fe80::1%eth0]:1'`},
		{TrustError{IDChanged, "a;rm -rf\x1b[2J" + strings.Repeat("x", 999), a, 0, b, time.Time{}},
			`server "a;rm -rf\x1b[2J` + strings.Repeat("x", maxQuoted-12) + `"... has another ID than before: it was ` + a.String() + `, now it is ` + b.String() +
				`; somebody else may answer in its place; if its key was changed on purpose, run: malcolm trust forget HOST:PORT`},
		{TrustError{PinMismatch, "host:1", a, 0, b, time.Time{}},
			`server "host:1" has not the ID that is pinned: that is ` + a.String() + `, its own is ` + b.String() +
				`; somebody else may answer in its place; if the new ID is the right one, pin that`},
		{TrustError{PinMismatch, "host:1", a, 2, b, time.Time{}},
			`server "host:1" has not the ID that is pinned: that is ` + a.String() + ` (or one of 2 more), its own is ` + b.String() +
				`; somebody else may answer in its place; if the new ID is the right one, pin that`},
		{TrustError{UnknownServer, "host:1", ServerID{}, 0, b, time.Time{}},
			`server "host:1" is not known, its ID is ` + b.String() + `; if that is the right one, add: --pin host:1=` + b.String()},
		{TrustError{NotPinned, "[::1]:1", ServerID{}, 0, b, time.Time{}},
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
