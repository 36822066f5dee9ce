package main

import (
	"strings"
	"testing"
)

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
		code, stdout, stderr := runHere(t, "get", "--quorum="+quorum, "127.0.0.1:1,2,3", "127.0.0.2:1")
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, "--quorum") {
			t.Errorf("%s of 2 hosts: exit code %d, stdout %q, stderr %q", quorum, code, stdout, stderr)
		}
	}
}
