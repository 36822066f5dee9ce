package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"malcolm/certs"
	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
	"malcolm/transfer/vote"
)

// Every error has the kind that its exit code needs.
func TestKindOf(t *testing.T) {
	left := func(states ...State) error {
		e := &NoServerLeftError{}
		for _, s := range states {
			e.Servers = append(e.Servers, ServerReport{State: s})
		}
		return e
	}
	for _, test := range []struct {
		err  error
		want Kind
	}{
		{nil, KindUnexpected},
		{errors.New("what"), KindUnexpected},
		{context.Canceled, KindUnexpected},
		{left(StateWrong), KindIntegrity},
		{left(StateWrong, StateLeftOut, StateDuplicate, StateNotReached), KindIntegrity},
		{left(StateWrong, StateChanged), KindChanged},
		{left(StateChanged, StateLost, StateWrong), KindNetwork},
		{left(StateLost), KindNetwork},
		{&UndecidedError{Result: vote.Result{Reason: vote.NoMajority}}, KindVote},
		{&NobodyAnsweredError{}, KindNetwork},
		{&NameError{}, KindLocal},
		{&TargetError{}, KindLocal},
		{&TooLargeError{}, KindLocal},
		{&NotDirectoryError{}, KindLocal},
		{&localfile.Error{Err: fs.ErrPermission}, KindLocal},
		{&partfile.Error{Err: fs.ErrExist}, KindLocal},
		{&certs.KeyFileError{Err: fs.ErrPermission}, KindLocal},
	} {
		for _, err := range []error{test.err, fmt.Errorf("around: %w", test.err)} {
			if got := KindOf(err); got != test.want {
				t.Errorf("KindOf(%T) = %d, want %d", test.err, got, test.want)
			}
		}
	}
}
