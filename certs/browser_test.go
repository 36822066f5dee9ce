package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// The key of the certificate for browsers is on P-256, the same in each run,
// and of this identity alone.
func TestBrowserCertificate(t *testing.T) {
	id := rfc8032Identity(t)
	pin := id.BrowserPin()
	// Computed from the seed by another program.
	if want := "1446f30a23d5647b12e50bf4e869a71dd8dbebf4e8dbb7a7bc052fc6a95c3260"; hex.EncodeToString(pin[:]) != want {
		t.Errorf("got %x, want %s", pin, want)
	}
	if mustGenerate(t).BrowserPin() == pin {
		t.Error("two identities have the same key")
	}
	cert, err := id.BrowserCertificate(testNow)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := cert.Leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() || sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo) != pin {
		t.Errorf("the certificate is of the key %v", cert.Leaf.PublicKey)
	}
}

// A malcolm client refuses the certificate for browsers.
func TestClientRefusesBrowserCertificate(t *testing.T) {
	cert, err := mustGenerate(t).BrowserCertificate(testNow)
	if err != nil {
		t.Fatal(err)
	}
	if o := connect(t, ClientTLS(testALPN, nil), stock(cert)); o.clientErr == nil {
		t.Error("the certificate is accepted")
	}
}
