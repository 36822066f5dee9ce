package partfile

import (
	"fmt"
	"testing"
)

// columns are the flags in the order of the table: none, -r, --force, -r
// --force.
var columns = [4]struct{ resume, force bool }{{false, false}, {true, false}, {false, true}, {true, true}}

func TestDecideTable(t *testing.T) {
	fetch := Decision{Action: Fetch}
	forced := func(a Action) Decision { return Decision{Action: a, Replace: true} }
	refuse := func(h Hint) Decision { return Decision{Action: Refuse, Hint: h} }
	right := Decision{Action: AlreadyRight}
	elsewhere := refuse(HintElsewhere)

	type row struct {
		final FinalState
		part  PartState
	}
	table := map[row][4]Decision{
		{FinalNone, PartNone}:          {fetch, fetch, forced(Fetch), forced(Fetch)},
		{FinalNone, PartSame}:          {refuse(HintResume), {Action: Resume}, forced(StartOver), forced(Resume)},
		{FinalNone, PartOtherChecksum}: {refuse(HintForce), refuse(HintForce), forced(StartOver), forced(StartOver)},

		{FinalRight, PartNone}:          {refuse(HintCheck), right, forced(Fetch), right},
		{FinalRight, PartSame}:          {refuse(HintCheck), right, forced(StartOver), right},
		{FinalRight, PartOtherChecksum}: {refuse(HintCheck), right, forced(StartOver), right},

		{FinalWrong, PartNone}:          {refuse(HintCheck), refuse(HintForce), forced(Fetch), forced(Fetch)},
		{FinalWrong, PartSame}:          {refuse(HintCheck), refuse(HintForce), forced(StartOver), forced(Resume)},
		{FinalWrong, PartOtherChecksum}: {refuse(HintCheck), refuse(HintForce), forced(StartOver), forced(StartOver)},
	}
	for _, final := range []FinalState{FinalNone, FinalRight, FinalWrong, FinalOther} {
		for _, part := range []PartState{PartNone, PartSame, PartOtherChecksum, PartOther} {
			want, ok := table[row{final, part}]
			if other := final == FinalOther || part == PartOther; other == ok {
				t.Fatalf("the table of this test lacks final %d, part %d", final, part)
			} else if other {
				want = [4]Decision{elsewhere, elsewhere, elsewhere, elsewhere}
			}
			for i, flags := range columns {
				if got := Decide(final, part, flags.resume, flags.force); got != want[i] {
					t.Errorf("final %d, part %d, %+v: got %+v, want %+v", final, part, flags, got, want[i])
				}
			}
		}
	}
}

// Without -r nothing is hashed, so a file that was not hashed decides like one
// that was.
func TestDecideUnread(t *testing.T) {
	for _, part := range []PartState{PartNone, PartSame, PartOtherChecksum, PartOther} {
		for _, flags := range columns {
			if NeedsHash(FinalUnread, flags.resume) {
				continue
			}
			got := Decide(FinalUnread, part, flags.resume, flags.force)
			if want := Decide(FinalWrong, part, flags.resume, flags.force); got != want {
				t.Errorf("part %d, %+v: got %+v, want %+v", part, flags, got, want)
			}
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic for a file that had to be hashed")
		}
	}()
	Decide(FinalUnread, PartNone, true, false)
}

func TestNeedsHash(t *testing.T) {
	for final := FinalNone; final <= FinalOther; final++ {
		for _, resume := range []bool{false, true} {
			got, want := NeedsHash(final, resume), resume && final == FinalUnread
			if got != want {
				t.Errorf("NeedsHash(%d, %t) = %t, want %t", final, resume, got, want)
			}
		}
	}
}

func TestFoundStates(t *testing.T) {
	for _, c := range []struct {
		found Found
		final FinalState
		part  PartState
	}{
		{Found{}, FinalNone, PartNone},
		{Found{Final: Regular, FinalSize: 7, Part: Regular, PartSize: 9}, FinalUnread, PartSame},
		{Found{Final: Regular, FinalSize: 6, Part: Other}, FinalWrong, PartOther},
		{Found{Final: Other}, FinalOther, PartNone},
	} {
		t.Run(fmt.Sprintf("%+v", c.found), func(t *testing.T) {
			if got := c.found.FinalState(7); got != c.final {
				t.Errorf("final state %d, want %d", got, c.final)
			}
			if got := c.found.PartState(Header{Size: 7}); got != c.part {
				t.Errorf("part state %d, want %d", got, c.part)
			}
		})
	}
}
