package main

import "testing"

// TestUDPFlow: sealed datagrams open, in pieces of one call, and gaps are
// counted.
func TestUDPFlow(t *testing.T) {
	aead, err := udpCipher()
	if err != nil {
		t.Fatal(err)
	}
	r := udpReceiver{aead: aead}
	datagrams := func(numbers ...uint64) []byte {
		b := make([]byte, len(numbers)*udpPayload)
		for i, n := range numbers {
			udpSeal(aead, b[i*udpPayload:(i+1)*udpPayload], n)
		}
		return b
	}
	if err := r.take(datagrams(0, 1, 3), udpPayload); err != nil {
		t.Fatal(err)
	}
	if err := r.take(datagrams(5), 0); err != nil {
		t.Fatal(err)
	}
	if r.got != 4 || r.next != 6 || r.lost() != 2 {
		t.Errorf("got %d datagrams up to %d, %d lost", r.got, r.next, r.lost())
	}
	if number, due := r.answer(); due {
		t.Errorf("answered %d after 6 numbers", number)
	}
	if err := r.take(datagrams(udpAck), udpPayload); err != nil {
		t.Fatal(err)
	}
	if number, due := r.answer(); !due || number != udpAck+1 {
		t.Errorf("answered %d, %v, want %d", number, due, udpAck+1)
	}
	if _, due := r.answer(); due {
		t.Error("answered twice")
	}
	changed := datagrams(7)
	changed[udpPayload-1]++
	if err := r.take(changed, udpPayload); err == nil {
		t.Error("a changed datagram was taken")
	}
	for _, n := range []int{1, udpNumber, udpPayload - 1} {
		if err := r.take(datagrams(8)[:n], udpPayload); err == nil {
			t.Errorf("a datagram of %d bytes was taken", n)
		}
	}
}
