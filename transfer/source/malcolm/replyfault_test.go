package malcolm

import (
	"fmt"
	"io"
	"testing"
	"time"

	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// A reply that ends early is a broken protocol, unless the connection has ended
// with it: over TCP that is an early end too.
func TestReplyFault(t *testing.T) {
	for _, test := range []struct {
		err  error
		want source.What
	}{
		{io.ErrUnexpectedEOF, source.Wrong},
		{io.EOF, source.Wrong},
		{&wire.MalformedError{}, source.Wrong},
		{&transport.PeerError{Kind: transport.PeerRestarted, Err: io.ErrUnexpectedEOF}, source.Lost},
		{fmt.Errorf("read: %w", &transport.PeerError{Kind: transport.PeerRestarted, Err: io.EOF}), source.Lost},
		{&source.Fault{What: source.Full}, source.Full},
	} {
		if got := replyFault(test.err, time.Second); got.What != test.want {
			t.Errorf("%v is of kind %d, want %d", test.err, got.What, test.want)
		}
	}
}
