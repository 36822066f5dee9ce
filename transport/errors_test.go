package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"syscall"
	"testing"

	"github.com/quic-go/quic-go"
)

func TestClassify(t *testing.T) {
	remote := func(code quic.TransportErrorCode) error {
		return &quic.TransportError{Remote: true, ErrorCode: code}
	}
	local := func(code quic.TransportErrorCode) error { return &quic.TransportError{ErrorCode: code} }
	for _, tc := range []struct {
		err  error
		want error // without Err
	}{
		{&quic.ApplicationError{Remote: true, ErrorCode: 3, ErrorMessage: "bye"}, &PeerError{Kind: PeerClosed, Code: 3, Text: "bye"}},
		{&quic.ApplicationError{ErrorCode: 3}, &LocalError{Kind: LocalClosed}},
		{&quic.StreamError{Remote: true, ErrorCode: 4}, &PeerError{Kind: PeerReset, Code: 4}},
		{&quic.StreamError{ErrorCode: 4}, &LocalError{Kind: LocalCanceled}},
		{&quic.StatelessResetError{}, &PeerError{Kind: PeerRestarted}},
		{&quic.VersionNegotiationError{}, &PeerError{Kind: PeerVersion}},
		{&quic.HandshakeTimeoutError{}, &NetworkError{Kind: NoAnswer}},
		{&quic.IdleTimeoutError{}, &NetworkError{Kind: IdleTimeout}},
		{remote(quic.ConnectionRefused), &PeerError{Kind: PeerRefused}},
		{local(quic.ConnectionRefused), &LocalError{Kind: LocalClosed}},
		{remote(0x178), &PeerError{Kind: PeerNoALPN}},
		{local(0x178), &PeerError{Kind: PeerNoALPN}},
		{remote(0x100), &PeerError{Kind: PeerTLS, Code: 0}},
		{remote(0x12a), &PeerError{Kind: PeerTLS, Code: 42}},
		{local(0x1ff), &PeerError{Kind: PeerTLS, Code: 255}},
		{remote(0x150), &PeerError{Kind: PeerTLS, Code: 80}},
		{local(0x150), &LocalError{Kind: LocalInternal}},
		{remote(0x200), &PeerError{Kind: PeerProtocol, Code: 0x200}},
		{remote(quic.InternalError), &PeerError{Kind: PeerProtocol, Code: 1}},
		{local(quic.InternalError), &LocalError{Kind: LocalInternal}},
		{local(quic.FlowControlError), &PeerError{Kind: PeerProtocol, Code: 3}},
		{remote(quic.ProtocolViolation), &PeerError{Kind: PeerProtocol, Code: 10}},
		{refusal, &NetworkError{Kind: PortUnreachable}},
		{noRoute, &NetworkError{Kind: HostUnreachable}},
		{sysErr("connect", errnoProhibited[0]), &NetworkError{Kind: Prohibited}},
		{sysErr("bind", errnoNoAddress[0]), &NetworkError{Kind: NoLocalAddress}},
		{sysErr("recvmmsg", syscall.ENOMEM), &NetworkError{Kind: SocketFailed}},
		{context.Canceled, &LocalError{Kind: LocalCanceled}},
		{context.DeadlineExceeded, &LocalError{Kind: LocalCanceled}},
		{os.ErrDeadlineExceeded, &LocalError{Kind: LocalDeadline}},
		{quic.ErrServerClosed, &LocalError{Kind: LocalClosed}},
		{quic.ErrTransportClosed, &LocalError{Kind: LocalClosed}},
		{quic.ErrStreamClosed, &LocalError{Kind: LocalClosed}},
		{errors.New("news"), &LocalError{Kind: LocalInternal}},
	} {
		for _, err := range []error{tc.err, fmt.Errorf("wrapped: %w", tc.err)} {
			got := classify(err)
			if !errors.Is(got, tc.err) {
				t.Errorf("classify(%v) lost its reason", err)
			}
			if got.Error() == "" {
				t.Errorf("classify(%v) says nothing", err)
			}
			if again := classify(fmt.Errorf("again: %w", got)); again != got {
				t.Errorf("classify of classified %v = %v", got, again)
			}
			reflect.ValueOf(got).Elem().FieldByName("Err").SetZero()
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("classify(%v) = %T %+v, want %T %+v", err, got, got, tc.want, tc.want)
			}
		}
	}
}

func TestClassifyKeeps(t *testing.T) {
	for _, err := range []error{nil, io.EOF} {
		if got := classify(err); got != err {
			t.Errorf("classify(%v) = %v", err, got)
		}
	}
}

func TestClassifyWrite(t *testing.T) {
	err := classifyWrite(&quic.StreamError{Remote: true, ErrorCode: 9})
	if e := wantPeer(t, err, PeerStopped); e.Code != 9 {
		t.Errorf("code = %d, want 9", e.Code)
	}
	wantLocal(t, classifyWrite(&quic.StreamError{}), LocalCanceled)
	if err := classifyWrite(nil); err != nil {
		t.Errorf("classifyWrite(nil) = %v", err)
	}
}

func TestClassifyDial(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	wantNetwork(t, classifyDial(ctx, context.DeadlineExceeded), NoAnswer)
	wantNetwork(t, classifyDial(ctx, refusal), PortUnreachable) // before the deadline passed
	wantNetwork(t, classifyDial(t.Context(), &quic.IdleTimeoutError{}), NoAnswer)
	wantLocal(t, classifyDial(t.Context(), &LocalError{Kind: LocalWindows}), LocalWindows)

	ctx, stop := context.WithCancel(context.Background())
	stop()
	wantLocal(t, classifyDial(ctx, context.Canceled), LocalCanceled)
}

func TestErrorsOfClosedConnectionsAreNetErrClosed(t *testing.T) {
	if err := classify(&quic.ApplicationError{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v does not wrap net.ErrClosed", err)
	}
}
