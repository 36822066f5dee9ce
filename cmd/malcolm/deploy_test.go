package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"malcolm/cmd/malcolm/config"
)

const exampleConfig = "deploy/config.toml"

// exampleHead begins the example.
const exampleHead = `# Settings of malcolm for all users, when it lies at /etc/malcolm/config.toml.
# One table a command, the long names of its flags as keys. What a flag is
# without a line here stands in the line, or its kind in capitals. The command
# line and the environment are stronger, and so is a user's own file at
# ~/.config/malcolm/config.toml. "malcolm config" shows what holds.
#
# Written by "just manual" from the program's own flags.
`

// TestManualExample: the example has every key with its words, as the parser
// has them. `just manual` writes it.
func TestManualExample(t *testing.T) {
	want := example(t)
	got, err := os.ReadFile(exampleConfig)
	if *updateManual {
		if err := os.WriteFile(exampleConfig, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err != nil || string(got) != want {
		t.Errorf("%s has other keys or words than the parser, or is not there: run just manual", exampleConfig)
	}
}

// example writes the example.
func example(t *testing.T) string {
	var b strings.Builder
	b.WriteString(exampleHead)
	parser, err := newParser(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(true) {
		if slices.Contains([]string{"config", "version", "completion", "help"}, leaf.Name) {
			continue // nobody sets these for later
		}
		fmt.Fprintf(&b, "\n[%s]\n", configTable(leaf))
		write := func(key, help string, s config.Setting) {
			for _, line := range wrapped(help, 78) {
				b.WriteString("# " + line + "\n")
			}
			s.Key = key
			b.WriteString("#" + config.Line(s) + "\n")
		}
		if p := targetsOf(leaf); p != nil {
			write(targetKey, p.Help, config.Setting{Texts: []string{"HOST:PORTS"}, List: true})
		}
		for _, f := range leaf.Flags {
			s := config.Setting{Texts: []string{f.Default}, Bool: f.IsBool(), List: f.Target.Kind().String() == "slice"}
			switch {
			case slices.Contains(withoutConfig, f.Name):
				continue
			case s.Bool:
				s.Texts = []string{"false"}
			case !f.HasDefault:
				s.Texts = []string{strings.TrimSuffix(f.PlaceHolder, "...")}
			}
			write(f.Name, f.Help, s)
		}
	}
	return b.String()
}

// wrapped cuts words into lines of at most width bytes, if they have spaces.
func wrapped(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

// TestExampleIsRead: the example sets nothing as it is; with its comments
// taken away each key is one that is known.
func TestExampleIsRead(t *testing.T) {
	text, err := os.ReadFile(exampleConfig)
	if err != nil {
		t.Fatal(err)
	}
	if n := settingsIn(t, string(text)); n != 0 {
		t.Errorf("the example sets %d flags", n)
	}
	keys := regexp.MustCompile(`(?m)^#([a-z])`).ReplaceAllString(string(text), "$1")
	if n := settingsIn(t, keys); n < 100 {
		t.Errorf("only %d keys are in the example", n)
	}
}

// settingsIn returns the number of settings of a config file, which have to be
// known.
func settingsIn(t *testing.T, text string) (n int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := config.Read([]config.Place{{Path: path, Named: true}})
	if err != nil {
		t.Fatal(err)
	}
	parser, err := newParser(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	if err := files[0].Check(configKeys(parser.Model.Node)); err != nil {
		t.Error(err)
	}
	for _, table := range files[0].Tables {
		n += len(table.Settings)
	}
	return n
}

// TestKubernetesConfig: the config file within the manifests has keys and
// values that malcolm takes, and so do the arguments of its containers.
func TestKubernetesConfig(t *testing.T) {
	servers, err := os.ReadFile("deploy/kubernetes/malcolm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(servers), "  config.toml: |\n")
	text, _, closed := strings.Cut(rest, "\n---\n")
	if !ok || !closed {
		t.Fatal("there is no config file")
	}
	if n := settingsIn(t, text); n < 5 {
		t.Errorf("%d settings", n)
	}
	job, err := os.ReadFile("deploy/kubernetes/get.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^ +args: \[(.*)\]$`).FindAllStringSubmatch(string(servers)+string(job), -1)
	if len(lines) != 2 {
		t.Fatalf("%d containers, want a server and a job", len(lines))
	}
	for _, line := range lines {
		args := append(strings.FieldsFunc(line[1], func(r rune) bool { return strings.ContainsRune(`", `, r) }), "--config", path)
		on := &terminal{getenv: func(string) string { return "" }}
		if _, err := on.reread(args); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// TestSocketUnits: the units for UDP and TCP name the same ports, in ways that
// serve understands.
func TestSocketUnits(t *testing.T) {
	ports := func(name, listen, named string) []string {
		text, err := os.ReadFile("deploy/systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\nFileDescriptorName="+named+"\n") || !strings.Contains(string(text), "\nService=malcolm-serve.service\n") {
			t.Errorf("%s is not for serve's %s", name, named)
		}
		var ports []string
		for _, m := range regexp.MustCompile(`(?m)^`+listen+`=([0-9]+)$`).FindAllStringSubmatch(string(text), -1) {
			ports = append(ports, m[1])
		}
		return ports
	}
	udp := ports("malcolm-serve.socket", "ListenDatagram", namedUDP)
	tcp := ports("malcolm-serve-tcp.socket", "ListenStream", namedTCP)
	if len(udp) == 0 || !slices.Equal(udp, tcp) {
		t.Errorf("UDP has %q, TCP %q", udp, tcp)
	}
}
