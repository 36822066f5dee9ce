package main

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestChecksumText(t *testing.T) {
	const digits = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	for text, sha256 := range map[string]bool{digits: false, strings.ToUpper(digits): false, "sha256:" + digits: true} {
		var c checksum
		if err := c.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := hex.EncodeToString(c.sum[:]); got != digits || c.sha256 != sha256 {
			t.Errorf("%s: got %s, SHA-256 %v", text, got, c.sha256)
		}
	}
	for text, want := range map[string]string{
		"":                   "not 0",
		digits[:63]:          "not 63",
		digits + "0":         "not 65",
		digits + "  x":       "not 67",
		"x" + digits[1:]:     "hex digits",
		digits[:63] + "\xff": "hex digits",
		"sha1:" + digits:     "not 69",
		"sha256:":            "not 0",
	} {
		var c checksum
		if err := c.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
}

func TestResumeCommand(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"get", "h:1"}, "malcolm get -r h:1"},
		{[]string{"get", "-r", "h:1"}, "malcolm get -r h:1"},
		{[]string{"get", "h:1", "--resume"}, "malcolm get h:1 --resume"},
		{[]string{"get", "-o", "my dir", "-a", "::1", "-p", "1", "2"}, "malcolm get -r -o 'my dir' -a ::1 -p 1 2"},
		{[]string{"get", "-o", "it's", "h:1"}, `malcolm get -r -o 'it'\''s' h:1`},
		{[]string{"get", "--name", "a\nb", "h:1"}, `malcolm get -r --name $'a\nb' h:1`},
		{[]string{"get", "--force", "--", "h:1"}, "malcolm get -r --force -- h:1"},
	}
	for _, test := range tests {
		if got := resumeCommand(test.args); got != test.want {
			t.Errorf("%q: got %s, want %s", test.args, got, test.want)
		}
	}
}

// TestQuorumBounds: a quorum that no vote can reach is refused at once.
func TestQuorumBounds(t *testing.T) {
	t.Setenv("MALCOLM_PORTS", "")
	for _, quorum := range []string{"3", "1000", "-1"} {
		code, stdout, stderr := runHere(t, "get", "--quorum="+quorum, "127.0.0.1:1,2")
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, "--quorum") {
			t.Errorf("%s of 2 servers: exit code %d, stdout %q, stderr %q", quorum, code, stdout, stderr)
		}
	}
}
