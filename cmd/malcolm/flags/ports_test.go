package flags

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// grammar has the flags whose values have several words or a form of our own,
// with the tags that the commands give them.
type grammar struct {
	Serve struct {
		File     string    `short:"f" required:""`
		Number   int       `short:"n"`
		Port     PortWords `short:"p" env:"MALCOLM_TEST_PORTS"`
		Interval Interval  `short:"i" default:"1"`
		Color    bool      `short:"c"`
		Limit    Rate      `default:"0"`
	} `cmd:""`
	Get struct {
		Address        Addresses `short:"a"`
		Port           PortWords `short:"p"`
		Output         string    `short:"o" default:"."`
		Resume         bool      `short:"r"`
		Interval       Interval  `short:"i" default:"1"`
		Color          bool      `short:"c"`
		ConnectTimeout Timeout   `default:"5"`
		Patience       Timeout   `default:"15m"`
		Limit          Rate      `default:"0"`
		Target         []string  `arg:"" optional:""`
	} `cmd:""`
}

// parseLine parses a command line, cut at its spaces.
func parseLine(t *testing.T, line string) (*grammar, error) {
	t.Helper()
	return parseArgs(t, strings.Fields(line)...)
}

func parseArgs(t *testing.T, args ...string) (*grammar, error) {
	t.Helper()
	var g grammar
	parser, err := kong.New(&g, kong.Name("malcolm"), kong.Exit(func(int) { t.Error("kong exits") }))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return &g, err
}

func TestServeLine(t *testing.T) {
	tests := []struct {
		line  string
		file  string
		n     int
		words []string
	}{
		{"serve -f data.mp4 -n 4 -i 1 -p 10001 10002 10003 10004", "data.mp4", 4, []string{"10001", "10002", "10003", "10004"}},
		{"serve -p 10001 10002 -f data.mp4", "data.mp4", 0, []string{"10001", "10002"}},
		{"serve -f data -p 1-4 -n 4", "data", 4, []string{"1-4"}},
		{"serve -f 2024 -p 1,2 3-4 -n 4", "2024", 4, []string{"1,2", "3-4"}},
		{"serve -p 1 2 -f d -p 3 4", "d", 0, []string{"1", "2", "3", "4"}},
		{"serve -f d -p=1", "d", 0, []string{"1"}},
		{"serve -f d -p=1 2", "d", 0, []string{"1", "2"}},
		{"serve -f d -p1 2", "d", 0, []string{"1", "2"}},
		{"serve -f d --port=1 2", "d", 0, []string{"1", "2"}},
		{"serve -f d --port 1 2", "d", 0, []string{"1", "2"}},
		{"serve -cp 1 2 -f d", "d", 0, []string{"1", "2"}},
		{"serve -f d -p x 2", "d", 0, []string{"x", "2"}},
		{"serve -f d -p -1 2", "d", 0, []string{"-1", "2"}},
		{"serve -f d -p 0 70000", "d", 0, []string{"0", "70000"}},
		{"serve -f d", "d", 0, nil},
	}
	for _, test := range tests {
		g, err := parseLine(t, test.line)
		if err != nil {
			t.Errorf("%s: %v", test.line, err)
			continue
		}
		got := g.Serve
		if got.File != test.file || got.Number != test.n || !slices.Equal(got.Port, test.words) {
			t.Errorf("%s: got file %q, n %d, words %q", test.line, got.File, got.Number, got.Port)
		}
	}
}

func TestPortsFromEnvironment(t *testing.T) {
	tests := []struct {
		env, line string
		want      []string
	}{
		{"10001 10002,10005-10007", "serve -f d", []string{"10001", "10002,10005-10007"}},
		{" 10001,\t10002 ", "serve -f d", []string{"10001,", "10002"}},
		{"10001 x", "serve -f d", []string{"10001", "x"}},
		{"10001", "serve -f d -p 5 6", []string{"5", "6"}},
		{"10001", "serve -f d -p 5 -p 6", []string{"5", "6"}},
	}
	for _, test := range tests {
		t.Setenv("MALCOLM_TEST_PORTS", test.env)
		g, err := parseLine(t, test.line)
		if err != nil {
			t.Errorf("%q, %s: %v", test.env, test.line, err)
			continue
		}
		if got := g.Serve.Port; !slices.Equal(got, test.want) {
			t.Errorf("%q, %s: got %q, want %q", test.env, test.line, got, test.want)
		}
	}
}

func TestPortsMissing(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"serve", "-f", "d", "-p"}, "--port: a port is missing"},
		{[]string{"serve", "-p", "-f", "d"}, `--port: a port is missing before "-f"`},
		{[]string{"serve", "-f", "d", "-p", ""}, "--port: a port is missing: the value is empty"},
		{[]string{"serve", "-f", "d", "--port="}, "--port: a port is missing: the value is empty"},
		{[]string{"serve", "-f", "d", "-p="}, "--port: a port is missing: the value is empty"},
		{[]string{"serve", "-f", "d", "-p", "1", "x"}, "unexpected argument x"},
		{[]string{"serve", "-f", "d", "-p", "1", "2x"}, "unexpected argument 2x"},
	}
	for _, test := range tests {
		if _, err := parseArgs(t, test.args...); err == nil || err.Error() != test.want {
			t.Errorf("%q: got %v, want %s", test.args, err, test.want)
		}
	}
}

// show writes port words as "WORD=PORT" or "WORD!PROBLEM".
func show(ports []PortWord) string {
	var out []string
	for _, p := range ports {
		s := fmt.Sprintf("%s=%d", p.Word, p.Port)
		if p.Problem != "" {
			s += "!" + p.Problem
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestExpandPorts(t *testing.T) {
	tests := []struct{ words, want string }{
		{"", ""},
		{"1", "1=1"},
		{"65535", "65535=65535"},
		{"10001 10002", "10001=10001; 10002=10002"},
		{"10002,10001", "10002=10002; 10001=10001"},
		{"10001-10003", "10001=10001; 10002=10002; 10003=10003"},
		{"9-9", "9=9"},
		{"65534-65535", "65534=65534; 65535=65535"},
		{"1,3-4 2", "1=1; 3=3; 4=4; 2=2"},
		{"1, 2", "1=1; 2=2"},
		{"1,,2,", "1=1; 2=2"},
		{"0080", "0080=80"},
		{"1 1", "1=1; 1=1!" + problemTwice},
		{"1 01 1", "1=1; 01=1!" + problemTwice + "; 1=1!" + problemTwice},
		{"1-2 2-3", "1=1; 2=2; 2=2!" + problemTwice + "; 3=3"},
		{"0", "0=0!" + problemNoPort},
		{"65536", "65536=0!" + problemNoPort},
		{"99999999999999999999", "99999999999999999999=0!" + problemNoPort},
		{"x 2", "x=0!" + problemNoPort + "; 2=2"},
		{"x x", "x=0!" + problemNoPort + "; x=0!" + problemNoPort},
		{"-1", "-1=0!" + problemNoPort},
		{"+1", "+1=0!" + problemNoPort},
		{"١", "١=0!" + problemNoPort},
		{",", ",=0!" + problemNoPort},
		{"0-5", "0-5=0!" + problemNoPort},
		{"65535-65536", "65535-65536=0!" + problemNoPort},
		{"1-999999999", "1-999999999=0!" + problemNoPort},
		{"a-b", "a-b=0!" + problemNoPort},
		{"5-", "5-=0!" + problemNoRange},
		{"1-2-3", "1-2-3=0!" + problemNoRange},
		{"1--3", "1--3=0!" + problemNoRange},
		{"5-4", "5-4=0!" + problemBackward},
		{"1-1025", "1-1025=0!is a range of 1,025 ports: at most 1,024 are allowed"},
		{"1-65535,7", "1-65535=0!is a range of 65,535 ports: at most 1,024 are allowed; 7=7"},
	}
	for _, test := range tests {
		got, err := ExpandPorts(strings.Fields(test.words))
		if err != nil || show(got) != test.want {
			t.Errorf("%q: got %s, %v, want %s", test.words, show(got), err, test.want)
		}
	}
	if got, err := ExpandPorts([]string{"", " "}); err != nil || len(got) != 2 || got[0].Problem != problemNoPort {
		t.Errorf("empty words: got %s, %v", show(got), err)
	}
}

func TestExpandPortsCount(t *testing.T) {
	tests := []struct {
		words []string
		ok    bool
	}{
		{[]string{"1-1024"}, true},
		{[]string{"1-1000", "2001-2024"}, true},
		{[]string{"1-1000", "2001-2025"}, false},
		{[]string{"1-1024", "5"}, false},
		{[]string{"1-1024", "x"}, false},
		{[]string{"1-1024", ","}, false},
		{[]string{"1-1023", ","}, true},
		{[]string{strings.Repeat("7,", 1024)}, true},
		{[]string{strings.Repeat("7,", 1025)}, false},
	}
	for _, test := range tests {
		got, err := ExpandPorts(test.words)
		if (err == nil) != test.ok {
			t.Errorf("%.40q: got %d words, %v", test.words, len(got), err)
		}
		if err != nil && err.Error() != "more than 1,024 ports" {
			t.Errorf("%.40q: %v", test.words, err)
		}
	}
}

func FuzzExpandPorts(f *testing.F) {
	seeds := []string{
		"", "10001", "10001 10002", "10001,10002", "10001-10004", "1, 2", "1 1", "0", "x", "-1", ",",
		"5-", "5-4", "1-2-3", "1-999999999", "1-1024", "1-1024 9", "65535-65536", "00000000000000000001",
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ExpandPorts(strings.Split(text, " "))
		if err != nil {
			if got != nil {
				t.Fatal("words and an error")
			}
			return
		}
		if len(got) > MaxPorts {
			t.Fatalf("%d words", len(got))
		}
		seen := make(map[uint16]bool)
		var good []string
		for _, w := range got {
			switch {
			case w.Port == 0 && w.Problem == "":
				t.Fatalf("%q is neither port nor problem", w.Word)
			case w.Port != 0 && (w.Problem == problemTwice) != seen[w.Port]:
				t.Fatalf("%q: got problem %q, seen before: %t", w.Word, w.Problem, seen[w.Port])
			case w.Port != 0:
				seen[w.Port] = true
				good = append(good, w.Word)
			}
		}
		again, err := ExpandPorts(good)
		if err != nil || len(again) != len(good) {
			t.Fatalf("good words spread to %d of %d, %v", len(again), len(good), err)
		}
	})
}
