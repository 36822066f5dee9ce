package screen

import "testing"

func TestBar(t *testing.T) {
	tests := []struct {
		done, kept, total int64
		want              string
	}{
		{0, 0, 100, "░░░░░░░░░░"}, {4, 0, 100, "░░░░░░░░░░"}, {50, 0, 100, "█████░░░░░"}, {50, 20, 100, "▓▓███░░░░░"},
		{99, 0, 100, "█████████░"}, {100, 0, 100, "██████████"}, {100, 100, 100, "▓▓▓▓▓▓▓▓▓▓"}, {7, 0, 0, "██████████"},
		{-5, -5, 100, "░░░░░░░░░░"}, {1 << 44, 1 << 43, 1 << 44, "▓▓▓▓▓█████"}, {1<<44 - 1, 0, 1 << 44, "█████████░"},
	}
	for _, test := range tests {
		if got := (Look{Unicode: true}).Bar(10, test.done, test.kept, test.total); got != test.want {
			t.Errorf("%d, kept %d, of %d: %q, want %q", test.done, test.kept, test.total, got, test.want)
		}
	}
	if got, want := (Look{}).Bar(10, 50, 20, 100), "++###-----"; got != want {
		t.Errorf("without block characters: %q, want %q", got, want)
	}
}

func TestCutMiddle(t *testing.T) {
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{
		{"host:10001", 10, "host:10001"}, {"backup.example:10001", 12, "back…e:10001"}, {"abc", 1, "…"}, {"日本語日本語:9000", 9, "日…:9000"},
	} {
		if got := cutMiddle(test.text, test.width); got != test.want || Columns(got) > test.width {
			t.Errorf("%q in %d: %q, want %q", test.text, test.width, got, test.want)
		}
	}
}
