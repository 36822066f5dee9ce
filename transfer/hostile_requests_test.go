package transfer

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/quicvarint"

	"malcolm/transfer/admission"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transport"
	"malcolm/wire"
)

// message is a request of a type, made of numbers, checksums and bytes.
func message(kind uint64, fields ...any) []byte {
	var body []byte
	for _, f := range fields {
		switch f := f.(type) {
		case int:
			body = quicvarint.Append(body, uint64(f))
		case [32]byte:
			body = append(append(body, 0), f[:]...)
		case []byte:
			body = append(body, f...)
		}
	}
	b := quicvarint.Append(nil, kind)
	return append(quicvarint.Append(b, uint64(len(body))), body...)
}

// The request types, for messages that wire would not write.
const (
	typeOpen   = 0
	typeStat   = 1
	typeValues = 2
	typeRanges = 3
	typeCheck  = 4
	typePath   = 5
)

// A badRequest is one that nobody should send, and the status of its reply; 0
// is a reset.
type badRequest struct {
	ask    []byte
	status wire.Status
}

// badRequests are requests about a file of two chunks with a checksum.
func badRequests(sum [32]byte) map[string]badRequest {
	const most, size = 1<<62 - 1, 2 * chunk
	other := [32]byte{9}
	idle := func(types ...int) (fields []any) { // what ends a stat
		fields = []any{0, 0}
		for _, kind := range types {
			fields = append(fields, kind, 1, 7)
		}
		return fields
	}
	seventeen := make([]int, 17)
	for i := range seventeen {
		seventeen[i] = 2*i + 1
	}
	return map[string]badRequest{
		"no byte":                         {nil, 0},
		"half":                            {request(wire.StatRequest{})[:2], 0},
		"body of 2^62 bytes":              {[]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, wire.StatusMalformed},
		"oversized":                       {append([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, make([]byte, 9000)...), wire.StatusMalformed},
		"oversized by one":                {append([]byte{1, 0x80, 0, 0x40, 1}, make([]byte, wire.MaxRequestLen+1)...), wire.StatusMalformed},
		"long form of a number":           {[]byte{0x40, 1, 2, 0, 0}, wire.StatusMalformed},
		"text":                            {[]byte("GET / HTTP/1.1\r\n\r\n"), 0},
		"open again":                      {request(wire.Open{}), wire.StatusMalformed},
		"open again and a request":        {append(request(wire.Open{}), request(wire.StatRequest{})...), wire.StatusMalformed},
		"two requests":                    {append(request(wire.StatRequest{}), request(wire.StatRequest{})...), wire.StatusMalformed},
		"unknown type":                    {message(99, 0), wire.StatusUnsupported},
		"unknown type of 2^62":            {quicvarint.Append(quicvarint.Append(nil, most), 0), wire.StatusUnsupported},
		"unknown type, the largest body":  {message(6, make([]byte, wire.MaxRequestLen)), wire.StatusUnsupported},
		"unknown type, bytes behind it":   {append(message(6), 0), wire.StatusMalformed},
		"path: a body":                    {message(typePath, 0), wire.StatusMalformed},
		"path: bytes behind it":           {append(request(wire.PathRequest{}), 0), wire.StatusMalformed},
		"stat: flags":                     {message(typeStat, 2, 0), wire.StatusMalformed},
		"stat: bytes behind it":           {append(request(wire.StatRequest{}), 0), wire.StatusMalformed},
		"stat: another file":              {request(wire.StatRequest{Selector: "/etc/passwd"}), wire.StatusNotFound},
		"stat: a file above":              {request(wire.StatRequest{Selector: strings.Repeat("../", 300)}), wire.StatusNotFound},
		"stat: selector longer than body": {message(typeStat, 0, 1000, 0), wire.StatusMalformed},
		"stat: selector too long":         {message(typeStat, 0, 1025, make([]byte, 1025)), wire.StatusMalformed},
		"tail: an even type":              {message(typeStat, idle(1<<16)...), wire.StatusMalformed},
		"tail: the same type twice":       {message(typeStat, idle(65537, 65537)...), wire.StatusMalformed},
		"tail: descending types":          {message(typeStat, idle(65539, 65537)...), wire.StatusMalformed},
		"tail: 17 types":                  {message(typeStat, idle(seventeen...)...), wire.StatusMalformed},
		"tail: 257 bytes":                 {message(typeStat, 0, 0, 65537, 257, make([]byte, 257)), wire.StatusMalformed},
		"tail: its end is missing":        {message(typeStat, 0, 0, 65537), wire.StatusMalformed},
		"values: none":                    {message(typeValues, sum, 0, 0), wire.StatusMalformed},
		"values: first beyond":            {message(typeValues, sum, 2, 1), wire.StatusOutOfRange},
		"values: one too many":            {message(typeValues, sum, 0, 3), wire.StatusOutOfRange},
		"values: 2^20 and one":            {message(typeValues, sum, 1, wire.MaxChunks), wire.StatusMalformed},
		"values: first of 2^62":           {message(typeValues, sum, most, most), wire.StatusMalformed},
		"values: another version":         {message(typeValues, other, 0, 1), wire.StatusChanged},
		"values: another kind of sum":     {message(typeValues, 1, sum[:], 0, 1), wire.StatusMalformed},
		"recheck: beyond":                 {message(typeCheck, sum, 2), wire.StatusOutOfRange},
		"recheck: chunk 2^20":             {message(typeCheck, sum, wire.MaxChunks), wire.StatusMalformed},
		"recheck: another version":        {message(typeCheck, other, 0), wire.StatusChanged},
		"ranges: no span":                 {message(typeRanges, 0), wire.StatusMalformed},
		"ranges: a span is missing":       {message(typeRanges, 2, sum, 0, 1), wire.StatusMalformed},
		"ranges: a span too many":         {message(typeRanges, 1, sum, 0, 1, sum, 0, 1), wire.StatusMalformed},
		"ranges: no bytes":                {message(typeRanges, 1, sum, 0, 0), wire.StatusMalformed},
		"ranges: offset outside":          {message(typeRanges, 1, sum, size, 1), wire.StatusOutOfRange},
		"ranges: end outside":             {message(typeRanges, 1, sum, size-1, 2), wire.StatusOutOfRange},
		"ranges: far outside":             {message(typeRanges, 1, sum, wire.MaxFileSize-1, 1), wire.StatusOutOfRange},
		"ranges: beyond the largest file": {message(typeRanges, 1, sum, wire.MaxFileSize, 1), wire.StatusMalformed},
		"ranges: end that wraps":          {message(typeRanges, 1, sum, most, most), wire.StatusMalformed},
		"ranges: end of 2^63":             {message(typeRanges, 1, sum, most, 2), wire.StatusMalformed},
		"ranges: another version":         {message(typeRanges, 1, other, 0, 1), wire.StatusChanged},
		"ranges: another kind of sum":     {message(typeRanges, 1, 1, sum[:], 0, 1), wire.StatusMalformed},
	}
}

// A bad request gets its status and nothing of the file, and many of them cost
// the connection.
func TestHostileRequests(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	data := file(2*chunk, 1)
	for name, bad := range badRequests(checksum(data)) {
		t.Run(name, func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				s := w.ready(data, serve.Config{})
				conn := w.attack(s.targets[0], 1, 0)
				io.ReadAll(send(t, conn, request(wire.StatRequest{}))) // opens it
				n := 0
				for ; n < 2000; n++ {
					st, err := hostile.Send(t.Context(), conn, bad.ask)
					if err != nil {
						break
					}
					st.CloseWrite()
					reply, err := io.ReadAll(st)
					var closed *transport.PeerError
					if errors.As(err, &closed) && closed.Kind == transport.PeerClosed {
						break
					}
					if got := replyStatus(t, reply, err); got != bad.status {
						t.Fatalf("reply = %x, %v, %v, want %v", reply, err, got, bad.status)
					}
				}
				wantClosed(t, conn, wire.CloseLimit)
				if n > admission.DefaultWasted || n < admission.DefaultWasted-1 {
					t.Errorf("%d were answered, want %d", n, admission.DefaultWasted)
				}
				if got := s.src.sent(); got != 0 {
					t.Errorf("%d bytes of the file were read", got)
				}
				s.honest(data)
			})
		})
	}
}

// replyStatus returns the status of a reply that is a refusal, of all or of the
// only span, and nothing else; 0 for a reset for a broken request.
func replyStatus(t *testing.T, reply []byte, err error) wire.Status {
	t.Helper()
	if err != nil {
		if got := streamCode(err); got != wire.StreamProtocol {
			t.Fatalf("the stream ended with %v, want that the request was broken", err)
		}
		return 0
	}
	r := bytes.NewReader(reply)
	h, err := wire.ReadHeader(r)
	if err == nil && h.Status == wire.StatusFailedSpan {
		f, err := wire.ReadFailedSpan(r, h)
		if err != nil || f.Index != 0 || r.Len() > 0 {
			t.Fatalf("reply = %x, %v, want that the only span failed", reply, err)
		}
		return f.Refusal.Status
	}
	refusal, ok := errors.AsType[*wire.Refusal](wire.ReadRefusal(r, h))
	if err != nil || !ok || refusal.Status == wire.StatusOK || r.Len() > 0 {
		t.Fatalf("reply = %x, %v, want a refusal", reply, err)
	}
	return refusal.Status
}
