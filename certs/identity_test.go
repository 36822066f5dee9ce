package certs

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// testNow is any moment; nothing in the package reads the clock for dates.
var testNow = time.Date(2031, 5, 6, 7, 8, 9, 0, time.FixedZone("", 2*60*60))

func mustGenerate(t *testing.T) *Identity {
	t.Helper()
	id, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// rfc8032Identity has the key of RFC 8032, section 7.1, test 1.
func rfc8032Identity(t *testing.T) *Identity {
	t.Helper()
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	if err != nil {
		t.Fatal(err)
	}
	id, err := newIdentity(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIdentityID(t *testing.T) {
	// The same as: openssl pkey -in key -pubout -outform der | sha256sum
	if got, want := rfc8032Identity(t).ID(), unhexID(t, goldenIDs[0].hex); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestGenerateMakesDifferentIdentities(t *testing.T) {
	if a, b := mustGenerate(t), mustGenerate(t); a.ID() == b.ID() || a.key.Equal(b.key) {
		t.Errorf("got the same identity twice: %s", a.ID())
	}
}

func TestDerive(t *testing.T) {
	id := rfc8032Identity(t)
	// Computed with HMAC-SHA256 by another program.
	const want = "ef5cfe6b85cc1f967b5efc3b94fd71b1d16e4c8068702990ebffe8457cd6594c"
	got := id.Derive("quic stateless reset")
	if hex.EncodeToString(got[:]) != want {
		t.Errorf("got %x, want %s", got, want)
	}
	if id.Derive("quic stateless reset") != got {
		t.Error("the same label gives different subkeys")
	}
	if id.Derive("another") == got || mustGenerate(t).Derive("quic stateless reset") == got {
		t.Error("another label or identity gives the same subkey")
	}
}

func TestCertificate(t *testing.T) {
	id := mustGenerate(t)
	cert, err := id.Certificate(testNow)
	if err != nil {
		t.Fatal(err)
	}
	if len(cert.Certificate) != 1 || !cert.PrivateKey.(ed25519.PrivateKey).Equal(id.key) {
		t.Fatalf("got %d certificates, or another key", len(cert.Certificate))
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if cert.Leaf == nil || !cert.Leaf.Equal(leaf) {
		t.Error("Leaf is not the certificate")
	}
	if err := leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature); err != nil {
		t.Errorf("self-signature: %v", err)
	}
	if leaf.SignatureAlgorithm != x509.PureEd25519 || leaf.PublicKeyAlgorithm != x509.Ed25519 {
		t.Errorf("got algorithms %v, %v", leaf.SignatureAlgorithm, leaf.PublicKeyAlgorithm)
	}
	if got, want := leaf.NotBefore, testNow.Add(-24*time.Hour); !got.Equal(want) {
		t.Errorf("NotBefore: got %v, want %v", got, want)
	}
	if got, want := leaf.NotAfter, leaf.NotBefore.AddDate(10, 0, 0); !got.Equal(want) {
		t.Errorf("NotAfter: got %v, want %v", got, want)
	}
	if got, want := leaf.Subject.String(), "CN=malcolm"; got != want {
		t.Errorf("Subject: got %q, want %q", got, want)
	}
	if len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != "malcolm" || leaf.IPAddresses != nil || leaf.EmailAddresses != nil || leaf.URIs != nil {
		t.Errorf("got names %q %v %q %v", leaf.DNSNames, leaf.IPAddresses, leaf.EmailAddresses, leaf.URIs)
	}
	if leaf.SerialNumber.Sign() <= 0 || leaf.SerialNumber.BitLen() < 64 {
		t.Errorf("SerialNumber: got %x", leaf.SerialNumber)
	}
	again, err := id.Certificate(testNow)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.SerialNumber.Cmp(again.Leaf.SerialNumber) == 0 {
		t.Error("two certificates have the same serial number")
	}
	if !bytes.Equal(leaf.RawSubjectPublicKeyInfo, again.Leaf.RawSubjectPublicKeyInfo) {
		t.Error("two certificates of one identity have different keys")
	}
}

func TestIdentityNeverPrintsItsKey(t *testing.T) {
	id := mustGenerate(t)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("test", "identity", id, "value", *id)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("test", "identity", id, "value", *id)
	texts := []string{log.String()}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		texts = append(texts, fmt.Sprintf(format, id), fmt.Sprintf(format, *id), fmt.Sprintf(format, struct{ I Identity }{*id}))
	}
	seed := id.key.Seed()
	for _, text := range texts {
		for _, format := range []string{"%d", "%x", "%v", "%q", "%#v"} {
			secret := strings.Trim(fmt.Sprintf(format, seed[:8]), `[]"`)
			if strings.Contains(text, secret) {
				t.Errorf("%q holds the key", text)
			}
		}
		if !strings.Contains(text, id.ID().Short()) {
			t.Errorf("%q: does not name the identity", text)
		}
	}
}
