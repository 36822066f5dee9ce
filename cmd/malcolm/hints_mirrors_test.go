package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"malcolm/transfer/source"
	"malcolm/transfer/source/https"
)

// A hint about a mirror's certificate fits what is wrong with it.
func TestHintsOfMirrors(t *testing.T) {
	for want, cause := range map[string]error{
		"--ca FILE":       &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
		"pin the new one": fmt.Errorf("handshake: %w", https.ErrPinned),
		"its owner":       &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}},
	} {
		got := mirrorHints(&source.Fault{What: source.Untrusted, Err: cause})
		if len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%v: got %q, want one with %q", cause, got, want)
		}
	}
}
